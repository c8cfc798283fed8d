import type { Command } from 'commander';
import { z } from 'zod';

import { CONFIGURATION } from '../config/load.ts';
import { configSchema } from '../config/schema.ts';
import { helpText } from '../terminal/help.ts';
import { addFlags, type CommonFlags, DNS_FLAGS, outputFlag, readSettings } from '../terminal/flags.ts';
import { CommandError, type DetectingCommand } from '../terminal/io.ts';
import { type Structured, structuredText } from '../terminal/structured.ts';

interface ConfigFlags extends CommonFlags {
  readonly output: Structured;
}

const HELP = `
Examples:
  libc-dns config libc-dns.yaml
  LIBC_DNS_SCOPE=cluster libc-dns config

Flags win over the environment (LIBC_DNS_NODE_LOCAL_MODE=on), that over the file, that over the defaults.`;

/** Adds `libc-dns config`, which checks a configuration and prints all of it, defaults included. */
export function configCommand(program: Command, parts: DetectingCommand): void {
  const command = program
    .command('config')
    .argument('[file]', 'configuration file (YAML)')
    .description('check the configuration and print it with its defaults')
    .addOption(outputFlag(['yaml', 'json']))
    .addHelpText('after', helpText(HELP));
  addFlags(command, ['config', ...DNS_FLAGS, 'offline', 'platform', 'logLevel']).action(
    (file: string | undefined, flags: ConfigFlags) => printConfig(parts, file, flags),
  );
}

async function printConfig({ io, openDetector }: DetectingCommand, file: string | undefined, flags: ConfigFlags) {
  if (file !== undefined && flags.config !== undefined) throw new CommandError('usage', 'either FILE or --config');
  const { config } = await readSettings(io, { ...flags, ...(file !== undefined && { config: file }) });
  // Opening a detector checks the lists of hosts, the mirrors and the files.
  await (await openDetector(config, {})).close();
  io.out(structuredText({ ...CONFIGURATION, ...z.encode(configSchema, config) }, flags.output));
}
