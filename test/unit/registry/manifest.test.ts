import {
  anything,
  array,
  assert,
  constantFrom,
  dictionary,
  json,
  oneof,
  option,
  property,
  string,
  tuple,
} from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Platform } from '../../../src/detection/image-source.ts';
import { normalizePlatform, platformName } from '../../../src/detection/platform.ts';
import { platformRank } from '../../../src/registry/choose-image.ts';
import { parseImageConfig, parseImageDocument } from '../../../src/registry/manifest.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 1 };
const parse = (value: unknown, mediaType = '') =>
  parseImageDocument(Buffer.from(JSON.stringify(value)), mediaType, 'image');

describe('a manifest request gives', () => {
  it.each([
    ['a manifest by its own type', { mediaType: ociManifest, config, layers: [] }, '', 'manifest'],
    ["a manifest by the header's type", { config, layers: [] }, dockerManifest, 'manifest'],
    [
      'a manifest by its shape',
      { schemaVersion: 2, config, layers: [] },
      'application/json; charset=utf-8',
      'manifest',
    ],
    ['a configuration of a vague type', { config: { ...config, mediaType: 'text/html' }, layers: [] }, '', 'manifest'],
    ['a manifest with null for layers', { config, layers: null }, '', 'manifest'],
    ['an index by its own type', { mediaType: ociIndex, manifests: [] }, 'text/plain', 'index'],
    ["an index by the header's type", { manifests: [] }, `${ociIndex}; charset=utf-8`, 'index'],
    ['an index by its shape', { schemaVersion: 2, manifests: [] }, '', 'index'],
    ['an index with null for manifests', { mediaType: ociIndex, manifests: null }, '', 'index'],
  ])('%s', (_, value, header, kind) => {
    expect(parse(value, header).kind).toBe(kind);
  });

  it.each([
    ['schema 1', { schemaVersion: 1, fsLayers: [] }, 'not-an-image'],
    ['schema 1 by its type', { mediaType: 'application/vnd.docker.distribution.manifest.v1+json' }, 'not-an-image'],
    [
      'an artifact with a vague config type',
      { artifactType: 'a/b', config: { ...config, mediaType: 'application/json' } },
      'not-an-image',
    ],
    ['both at once (CVE-2021-41190)', { manifests: [], layers: [], config }, 'invalid-answer'],
    ['a manifest that says it is an index', { mediaType: ociIndex, layers: [], config }, 'invalid-answer'],
    ['an index that says it is a manifest', { mediaType: ociManifest, manifests: [] }, 'invalid-answer'],
    ['nothing of the kind', { hello: 'world' }, 'invalid-answer'],
    ['null', null, 'invalid-answer'],
    ['an array', [], 'invalid-answer'],
    ['a digest that is none', { config: { ...config, digest: 'sha256:../../x' }, layers: [] }, 'invalid-answer'],
    ['a negative size', { config: { ...config, size: -1 }, layers: [] }, 'invalid-answer'],
    ['a layer without a digest', { config, layers: [{ mediaType: 'x', size: 1 }] }, 'invalid-answer'],
  ])('%s: an error', (_, value, code) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ name: 'ImageSourceError', code }));
  });

  it('nothing but the documented errors, whatever comes', () => {
    const descriptor = oneof(anything(), constantFrom(config, null, { digest }));
    const shape = dictionary(
      constantFrom(
        'schemaVersion',
        'mediaType',
        'manifests',
        'layers',
        'config',
        'fsLayers',
        'annotations',
        '__proto__',
      ),
      oneof(anything(), constantFrom(ociIndex, ociManifest, 1, 2), descriptor, array(descriptor)),
    );
    const text = oneof(
      json(),
      string(),
      shape.map((value) => JSON.stringify(value) ?? ''),
    );
    assert(
      property(text, constantFrom('', ociIndex, ociManifest), (body, header) => {
        expect(outcome(() => parseImageDocument(Buffer.from(body), header, 'x'))).toMatch(
          /^(?:ok|invalid-answer|not-an-image)$/,
        );
        expect(outcome(() => parseImageConfig(Buffer.from(body), config.mediaType, 'x'))).toMatch(
          /^(?:ok|invalid-answer)$/,
        );
        expect(outcome(() => parseImageConfig(Buffer.from(body), '', 'x'))).toMatch(
          /^(?:ok|invalid-answer|not-an-image)$/,
        );
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['arrays in arrays', '['.repeat(4e6)],
    ['objects in objects', '{"a":'.repeat(8e5)],
    ['entries of nothing', `{"manifests":[${'{},'.repeat(1e6)}{}]}`],
    ['entries of 1', `{"manifests":[${'1,'.repeat(2e6)}1]}`],
    ['layers of nothing', `{"config":${JSON.stringify(config)},"layers":[${'{},'.repeat(900)}{}]}`],
    ['too many layers', `{"config":${JSON.stringify(config)},"layers":[${'{},'.repeat(1001)}{}]}`],
    ['annotations of 1', `{"config":${JSON.stringify(config)},"annotations":{${keys(49_000, '1')}}}`],
    ['annotations', `{"config":${JSON.stringify(config)},"annotations":{${keys(380_000, '""')}}}`],
    ['an environment of 1', `{"config":{"Env":[${'1,'.repeat(49_000)}1]}}`],
    ['an escape at the end', '"\\'],
  ])('%s: refused without a report on each, which would take seconds', (_, body) => {
    const bytes = Buffer.from(body);
    for (let times = 0; times < 10; times += 1) {
      expect(outcome(() => parseImageDocument(bytes, '', 'x'))).toBe('invalid-answer');
      if (body.includes('Env'))
        expect(outcome(() => parseImageConfig(bytes, config.mediaType, 'x'))).toBe('invalid-answer');
    }
  });

  it('commas and brackets inside strings are only text', () => {
    const text = '[{,"\\'.repeat(20_000);
    const manifest = { config, layers: [], annotations: { text } };
    expect(parse(manifest)).toMatchObject({ kind: 'manifest', annotations: { text } });
  });
});

describe('a configuration', () => {
  it.each([
    ['of any type, with a rootfs', 'text/html', { rootfs: { type: 'layers', diff_ids: [] } }, 'ok'],
    ['of no type, with a rootfs', '', { rootfs: {} }, 'ok'],
    ["of an image's type, without a rootfs", config.mediaType, {}, 'ok'],
    ['of a Helm chart', 'application/vnd.cncf.helm.config.v1+json', { name: 'x', version: '1' }, 'not-an-image'],
    ['that is empty', 'application/vnd.oci.empty.v1+json', {}, 'not-an-image'],
    ['of no type', '', { rootfs: 'x' }, 'not-an-image'],
    ['that is a list', 'text/html', [], 'not-an-image'],
  ])('%s: %s', (_, mediaType, value, expected) => {
    expect(outcome(() => parseImageConfig(Buffer.from(JSON.stringify(value)), mediaType, 'x'))).toBe(expected);
  });

  it('may leave out everything', () => {
    expect(parseImageConfig(Buffer.from('{}'), config.mediaType, 'x')).toEqual({
      platform: { os: 'linux', architecture: 'unknown' },
      config: { entrypoint: [], cmd: [], env: [], workingDir: '', user: '', labels: {}, history: [] },
    });
    const nulls = {
      os: 'linux',
      architecture: 'arm',
      variant: 'v7',
      config: { Entrypoint: null, Cmd: null, Env: null, Labels: null },
      history: null,
    };
    expect(parseImageConfig(Buffer.from(JSON.stringify(nulls)), config.mediaType, 'x')).toMatchObject({
      platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
      config: { entrypoint: [], labels: {} },
    });
  });

  it('has what runs, labels and history', () => {
    const value = {
      os: 'linux',
      architecture: 'amd64',
      config: { Entrypoint: ['/a'], Cmd: ['b'], Env: ['A=1'], WorkingDir: '/w', User: 'app:app', Labels: { l: 'v' } },
      history: [{ created_by: 'ADD x' }, { created_by: 'ENV y', empty_layer: true }, {}],
    };
    expect(parseImageConfig(Buffer.from(JSON.stringify(value)), config.mediaType, 'x').config).toEqual({
      entrypoint: ['/a'],
      cmd: ['b'],
      env: ['A=1'],
      workingDir: '/w',
      user: 'app:app',
      labels: { l: 'v' },
      history: [
        { createdBy: 'ADD x', emptyLayer: false },
        { createdBy: 'ENV y', emptyLayer: true },
        { createdBy: '', emptyLayer: false },
      ],
    });
  });

  it.each([
    ['not JSON', '{'],
    ['a command that is no list', '{"config":{"Cmd":"sh"}}'],
    ['an environment of numbers', '{"config":{"Env":[1]}}'],
  ])('that is %s is an invalid answer', (_, text) => {
    expect(() => parseImageConfig(Buffer.from(text), config.mediaType, 'x')).toThrow(
      expect.objectContaining({ code: 'invalid-answer' }),
    );
  });
});

describe('a platform', () => {
  const read = (text: string): Platform => {
    const [os = '', architecture = '', variant] = text.split('/');
    return { os, architecture, ...(variant === undefined ? {} : { variant }) };
  };

  it.each([
    ['linux/x86_64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/i686', 'linux/386'],
    ['Linux/AMD64', 'linux/amd64'],
    ['linux/toString', 'linux/tostring'],
  ])('%s is %s', (text, normal) => {
    expect(platformName(normalizePlatform(read(text)))).toBe(normal);
  });

  it.each([
    [
      'linux/amd64',
      ['linux/amd64/v3', 'linux/386', 'linux/amd64', 'linux/arm64'],
      ['linux/amd64', 'linux/386', 'linux/amd64/v3'],
    ],
    [
      'linux/amd64/v3',
      ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4', 'linux/amd64/v3'],
      ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/amd64/v4'],
    ],
    [
      'linux/arm64',
      ['linux/arm/v6', 'linux/arm/v7', 'linux/arm64/v8'],
      ['linux/arm64/v8', 'linux/arm/v7', 'linux/arm/v6'],
    ],
    ['linux/arm64', ['linux/arm64/v9', 'linux/arm64'], ['linux/arm64', 'linux/arm64/v9']],
    [
      'linux/arm/v7',
      ['linux/arm/v5', 'linux/arm/v8', 'linux/arm', 'linux/arm/v6', 'linux/arm64'],
      ['linux/arm', 'linux/arm/v6', 'linux/arm/v5', 'linux/arm/v8'],
    ],
    ['linux/386', ['linux/amd64', 'linux/386'], ['linux/386']],
    ['linux/s390x', ['linux/s390x', 'windows/s390x', 'linux/ppc64le'], ['linux/s390x']],
    ['linux/amd64', ['windows/amd64', 'unknown/unknown'], []],
  ])('for %s the best of %j come in the order %j', (wanted, offered, order) => {
    const ranked = offered
      .map((name) => ({ name, rank: platformRank(read(wanted), read(name)) }))
      .filter((entry): entry is { name: string; rank: number } => entry.rank !== undefined)
      .toSorted((a, b) => a.rank - b.rank);
    expect(ranked.map(({ name }) => name)).toEqual(order);
  });

  it.each(['__proto__', 'constructor', 'toString'])('an architecture called %s is just a name', (architecture) => {
    expect(platformRank({ os: 'linux', architecture }, { os: 'linux', architecture })).toBe(0);
  });

  it('runs on itself, whatever it is', () => {
    assert(
      property(tuple(string(), string(), option(string())), ([os, architecture, variant]) => {
        const platform = { os, architecture, ...(variant === null ? {} : { variant }) };
        expect(platformRank(platform, platform)).toBe(0);
      }),
    );
  });
});

function outcome(action: () => unknown): string {
  try {
    action();
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

function keys(count: number, value: string): string {
  return Array.from({ length: count }, (_, index) => `"${index}":${value}`).join(',');
}

describe('a platform whose names are too long to be kept', () => {
  const long = 'x'.repeat(3_000_000);

  it.each([{ os: long }, { architecture: long }, { variant: long }])('is no configuration', (given) => {
    expect(() =>
      parseImageConfig(Buffer.from(JSON.stringify(given)), 'application/vnd.oci.image.config.v1+json', 'x'),
    ).toThrow(expect.objectContaining({ code: 'invalid-answer' }));
  });

  it('of an index is not known', () => {
    const entry = { mediaType: ociManifest, digest, size: 1, platform: { os: 'linux', architecture: long } };
    expect(parse({ manifests: [entry] }, ociIndex)).toMatchObject({ entries: [{ digest }] });
    expect(parse({ manifests: [entry] }, ociIndex)).not.toHaveProperty('entries.0.platform');
  });
});
