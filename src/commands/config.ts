import type { Command } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';

import { configSchema } from '../config/schema.ts';
import { addCommonFlags, type CommonFlags, readSettings } from '../terminal/flags.ts';
import type { DetectingCommand } from '../terminal/io.ts';

const HELP = `
Examples:
  libc-dns config libc-dns.yaml
  LIBC_DNS_SCOPE=cluster libc-dns config

Flags win over the environment (LIBC_DNS_NODE_LOCAL_MODE=on), that over the file, that over the defaults.`;

/** Adds `libc-dns config`, which checks a configuration and prints all of it, defaults included. */
export function configCommand(program: Command, { io, openDetector }: DetectingCommand): void {
  const command = program
    .command('config')
    .argument('[file]', 'configuration file (YAML)')
    .description('check the configuration and print it with its defaults')
    .addHelpText('after', HELP);
  addCommonFlags(command).action(async (file: string | undefined, flags: CommonFlags) => {
    const { config } = await readSettings(io, { ...flags, ...(file !== undefined && { config: file }) });
    // Opening a detector checks the lists of hosts, the mirrors and the files.
    await (await openDetector(config, {})).close();
    io.out(stringify(z.encode(configSchema, config)));
  });
}
