import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createKubeClient } from '../../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../../src/kubernetes/kubeconfig.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-kubeconfig-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileWith(text: string): string {
  const file = join(folder, `${Math.random()}.yaml`);
  writeFileSync(file, text);
  return file;
}

const config = (server: string, user: object, context: object = {}): string =>
  JSON.stringify({
    'current-context': 'here',
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', ...context } }],
  });

describe('a kubeconfig that cannot be used', () => {
  it.each([
    ['no file', () => join(folder, 'none'), /kubeconfig .*none: no such file or directory$/],
    ['nothing in it', () => fileWith('{}'), /kubeconfig .*: no current context$/],
    ['no such cluster', () => fileWith('current-context: gone\n'), /kubeconfig .*: no cluster for context gone$/],
    ['no YAML', () => fileWith(': : :\n\t'), /^kubeconfig .+$/],
    ['a list without its end', () => fileWith('a: ['), /^kubeconfig .+ \(1:5\)$/],
  ])('%s', (_, file, message) => {
    expect(() => kubeConfigTransport({ files: [file()], userAgent: 'test' })).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringMatching(message) as string }),
    );
  });

  it('one of several has no YAML: it is named', () => {
    const [good, bad] = [fileWith(config('https://127.0.0.1:1', {})), fileWith('{')];
    expect(() => kubeConfigTransport({ files: [good, bad], userAgent: 'test' })).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining(`kubeconfig ${bad}: `) as string }),
    );
  });

  it('no such context', () => {
    const file = fileWith(config('https://127.0.0.1:1', {}));
    expect(() => kubeConfigTransport({ files: [file], context: 'other', userAgent: 'test' })).toThrow(
      /no cluster for context other/,
    );
  });
});

describe('calls', () => {
  async function headersOf(user: object): Promise<Record<string, unknown>> {
    let headers: Record<string, unknown> = {};
    const server = createServer((request, response) => {
      headers = request.headers;
      response.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const file = fileWith(config(`http://127.0.0.1:${port}`, user));
    const client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'libc-dns/1' }));
    await client.request({ path: '/version' });
    await client.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    return headers;
  }

  it('carry the token', async () => {
    expect(await headersOf({ token: 'secret' })).toMatchObject({
      authorization: 'Bearer secret',
      'user-agent': 'libc-dns/1',
    });
  });

  it('carry the token of a file beside the kubeconfig, without its line end', async () => {
    writeFileSync(join(folder, 'token'), 'from-a-file\n');
    expect(await headersOf({ tokenFile: 'token' })).toMatchObject({ authorization: 'Bearer from-a-file' });
  });

  it.each([
    ['beside the kubeconfig', './login'],
    ['by its path', () => join(folder, 'login')],
  ])('carry what a plugin answers: %s', async (_, command) => {
    const program = `
      const { apiVersion } = JSON.parse(process.env.KUBERNETES_EXEC_INFO);
      console.log(JSON.stringify({ apiVersion, kind: 'ExecCredential', status: { token: apiVersion + process.env.OWN } }));`;
    writeFileSync(join(folder, 'login'), `#!${process.execPath}\n${program}`, { mode: 0o755 });
    const exec = {
      apiVersion: 'v1',
      command: typeof command === 'string' ? command : command(),
      env: [{ name: 'OWN', value: '-mine' }],
      interactiveMode: 'Never',
    };
    expect(await headersOf({ exec })).toMatchObject({ authorization: 'Bearer v1-mine' });
  });

  it('carry user and password', async () => {
    const { authorization } = await headersOf({ username: 'me', password: 'mine' });
    expect(authorization).toBe(`Basic ${btoa('me:mine')}`);
  });
});

it('names the namespace of the context, and none where it has none', () => {
  const named = config('https://127.0.0.1:1', {}, { namespace: 'libc-dns' });
  expect(kubeConfigTransport({ files: [fileWith(named)], userAgent: 'test' }).namespace).toBe('libc-dns');
  const unnamed = config('https://127.0.0.1:1', {});
  expect(kubeConfigTransport({ files: [fileWith(unnamed)], userAgent: 'test' }).namespace).toBeUndefined();
});
