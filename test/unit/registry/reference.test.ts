import { array, assert, constantFrom, oneof, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatReference, parseReference, quoteReference } from '../../../src/registry/reference.ts';

const sha256 = `sha256:${'a'.repeat(64)}`;
const sha512 = `sha512:${'b'.repeat(128)}`;

describe('a reference is read as Docker reads it', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx:latest'],
    ['nginx:1.29-alpine', 'docker.io/library/nginx:1.29-alpine'],
    ['bitnami/nginx', 'docker.io/bitnami/nginx:latest'],
    ['docker.io/nginx', 'docker.io/library/nginx:latest'],
    ['index.docker.io/library/nginx', 'docker.io/library/nginx:latest'],
    ['registry-1.docker.io/bitnami/nginx', 'docker.io/bitnami/nginx:latest'],
    ['localhost/nginx', 'localhost/nginx:latest'],
    ['localhost:5000/nginx', 'localhost:5000/nginx:latest'],
    ['myhost:5000/a/b/c:v1', 'myhost:5000/a/b/c:v1'],
    ['ghcr.io/a/b', 'ghcr.io/a/b:latest'],
    ['GHCR.io/a/b', 'ghcr.io/a/b:latest'],
    ['MyHost:5000/a', 'myhost:5000/a:latest'],
    [`nginx@${sha256}`, `docker.io/library/nginx@${sha256}`],
    [`nginx:1.29@${sha256}`, `docker.io/library/nginx@${sha256}`],
    [`quay.io/a/b@${sha512}`, `quay.io/a/b@${sha512}`],
    ['[2001:db8::1]:5000/a', '[2001:db8::1]:5000/a:latest'],
    ['[2001:DB8:0::1]/a', '[2001:db8::1]/a:latest'],
    ['10.0.0.1:5000/a', '10.0.0.1:5000/a:latest'],
    ['a__b/c--d.e_f', 'docker.io/a__b/c--d.e_f:latest'],
  ])('%s is %s', (text, canonical) => {
    expect(formatReference(parseReference(text))).toBe(canonical);
  });

  it.each([
    ['127.1/a', '127.0.0.1'],
    ['127.0.0.1:80/a', '127.0.0.1:80'],
    ['0x7f.1/a', '127.0.0.1'],
    ['0x7f000001:5000/a', '127.0.0.1:5000'],
    ['2130706433:5000/a', '127.0.0.1:5000'],
    ['0177.0.0.1/a', '127.0.0.1'],
    ['[::ffff:127.0.0.1]/a', '[::ffff:7f00:1]'],
    ['[0:0:0:0:0:0:0:1]/a', '[::1]'],
  ])('the address in %s has one spelling, %s', (text, host) => {
    expect(parseReference(text).host).toBe(host);
  });

  it('keeps the tag beside a digest', () => {
    expect(parseReference(`nginx:1.29@${sha256}`)).toEqual({
      host: 'docker.io',
      repository: 'library/nginx',
      tag: '1.29',
      digest: sha256,
    });
  });
});

describe('what is not a reference is refused with the reason', () => {
  it.each([
    ['', 'each part'],
    ['Nginx', 'lower case'],
    ['MyHost/a', 'lower case'],
    ['ghcr.io/Org/app', 'lower case'],
    ['nginx:', 'tag'],
    [`nginx:${'a'.repeat(129)}`, 'tag'],
    ['nginx:a b', 'tag'],
    ['nginx@sha256:abc', '@'],
    [`nginx@sha256:${'A'.repeat(64)}`, '@'],
    [`nginx@md5:${'a'.repeat(32)}`, '@'],
    ['https://ghcr.io/a/b', 'scheme'],
    ['a'.repeat(64), 'image ID'],
    ['ghcr.io/', 'each part'],
    ['ghcr.io//a', 'each part'],
    ['ghcr.io/a/../b', 'each part'],
    ['ghcr.io/-a', 'each part'],
    ['-host.io/a', 'registry'],
    ['host_name.io/a', 'registry'],
    ['host.io:99999/a', 'registry'],
    ['host.io:0/a', 'registry'],
    ['host.io:/a', 'registry'],
    ['256.256.256.256/a', 'registry'],
    ['[::1/a', 'registry'],
    ['[::zz]/a', 'registry'],
    [`ghcr.io/${'a'.repeat(256)}`, 'longer'],
    ['a/'.repeat(600), 'longer'],
    ['nginx\n', 'each part'],
    ['nginx\0', 'each part'],
  ])('%j', (text, reason) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'invalid-reference', message: expect.stringContaining(reason) }),
    );
  });

  it.each([
    'user:hunter2@ghcr.io/a',
    'https://user:hunter2@ghcr.io/a',
    'hunter2@x',
    `a@hunter2@${sha256.slice(0, 20)}`,
  ])('without repeating what looks like a login: %s', (text) => {
    expect(quoteReference(text)).not.toContain('hunter2');
    expect(() => parseReference(text)).toThrow(expect.not.objectContaining({ message: /hunter2/ }));
  });
});

it('any string gives a reference that reads back as itself, or an invalid-reference error', () => {
  const piece = constantFrom(
    'a',
    'nginx',
    '/',
    ':',
    '@',
    '.',
    '_',
    '-',
    '[',
    ']',
    sha256,
    '80',
    'A',
    'docker.io',
    '%',
    ' ',
  );
  const text = oneof(
    string(),
    array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
  );
  assert(
    property(text, (candidate) => {
      const canonical = canonicalOrError(candidate);
      if (typeof canonical === 'string') expect(canonicalOrError(canonical)).toBe(canonical);
      else expect(canonical).toMatchObject({ name: 'ImageSourceError', code: 'invalid-reference' });
    }),
    { numRuns: 3000 },
  );
});

function canonicalOrError(text: string): unknown {
  try {
    return formatReference(parseReference(text));
  } catch (error) {
    return error;
  }
}
