import { spawn } from 'node:child_process';

import { z } from 'zod';

import type { Credential } from '../../detection/image-source.ts';
import { parseBoundedJson } from '../../util/json-bounds.ts';
import type { CredentialHelper } from './docker-config.ts';

const longestAnswer = 1 << 20;
const answerSchema = z.object({ Username: z.string(), Secret: z.string() });

/**
 * Returns a function that runs `docker-credential-<helper> get` like Docker
 * (github.com/docker/docker-credential-helpers). It returns undefined if the helper knows no login for the server, and
 * rejects if the helper fails or takes longer than `timeoutMs`; its errors do not quote the helper's output. `env`
 * gives the helper HOME, PATH and the like.
 */
export function credentialHelper(env: NodeJS.ProcessEnv, timeoutMs = 10_000): CredentialHelper {
  return async (helper, server) => {
    const program = `docker-credential-${helper}`;
    const { code, output } = await run(program, server, env, timeoutMs);
    if (code !== 0) {
      if (/credentials not found/i.test(output)) return undefined;
      throw new Error(`${program} failed with exit code ${code} for ${server}: run it by hand to see why`);
    }
    return readAnswer(program, output);
  };
}

function readAnswer(program: string, output: string): Credential {
  const json = parseBoundedJson(Buffer.from(output));
  if (json === undefined) throw new Error(`${program} did not answer with JSON`);
  const answer = answerSchema.safeParse(json);
  if (!answer.success) throw new Error(`${program} did not answer with Username and Secret`);
  const { Username: username, Secret: secret } = answer.data;
  return username === '<token>'
    ? { username: '', password: '', identityToken: secret }
    : { username, password: secret };
}

function run(
  program: string,
  input: string,
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'], timeout: timeoutMs });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      if (output.length > longestAnswer) child.kill();
    });
    child.on('error', (error) => {
      reject(new Error(`${program} could not be run: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`));
    });
    child.on('close', (code) => {
      resolve({ code, output });
    });
    // A helper that exits without reading its input closes the pipe; its exit code tells enough.
    child.stdin.on('error', () => {});
    child.stdin.end(`${input}\n`);
  });
}
