import fc from 'fast-check';
import { Document, isMap, isScalar, Scalar, visit } from 'yaml';

/** Unquoted scalars that YAML 1.1, YAML 1.2 and sigs.k8s.io/yaml read in different ways. */
const PLAIN =
  `yes No on OFF y n true False ~ null NULL 0400 0o17 0x1F 0b11 1_000 1e3 08 1.50 .5 1. -0 +1 1:30 2001-01-01 1e400 12345678901234567890
  9007199254740993 -017 a:b a#b -a it's a"b <<x = 1,000 0.0.0.0 :: é 日本 /a?b=c&d $(A)`.split(/\s+/);

/** Strings that need quotes, or a block scalar. */
const TEXTS = [
  'yes',
  '0400',
  '~',
  '',
  ' ',
  'a: b',
  '- a',
  '# a',
  'a\nb',
  'a\n\n b\n',
  '\ttab',
  'trailing ',
  '{a}',
  '*a',
  '&a',
  '!a',
  "'",
  '"',
  '\\',
  '---',
  '...\n',
  '🚀',
];

const scalar = fc.oneof(
  fc.constantFrom(...PLAIN).map((source) => ({ plain: source })),
  fc.constantFrom(...TEXTS),
  fc.string({ maxLength: 12, unit: 'grapheme-ascii' }).filter((text) => !text.startsWith('?')),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);

const { value: something } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), tie('value'), { maxKeys: 3 }),
  ),
}));

const name = fc.stringMatching(/^[a-z]([-a-z]{0,6}[a-z])?$/);
const texts = fc.dictionary(name, fc.constantFrom(...TEXTS, 'plain', 'two words'), { maxKeys: 3 });
const annotations = fc
  .tuple(texts, fc.constantFrom('musl', 'glibc', 'go', undefined))
  .map(([some, libc]) => (libc === undefined ? some : Object.assign(some, { 'libc-dns.dev/libc': libc })));

const container = fc.record(
  {
    name,
    image: fc.constantFrom('busybox', 'nginx:1.29-alpine'),
    args: fc.array(fc.constantFrom(...TEXTS), { maxLength: 3 }),
    extra: something,
  },
  { requiredKeys: ['name', 'image'] },
);

const dnsConfig = fc.record(
  {
    nameservers: fc.uniqueArray(fc.constantFrom('8.8.8.8', '10.96.0.10', '1.1.1.1'), { maxLength: 2 }),
    searches: fc.uniqueArray(fc.constantFrom('corp.example', 'default.svc.cluster.local', 'cluster.local'), {
      maxLength: 3,
    }),
    options: fc.uniqueArray(
      fc.constantFrom(
        { name: 'ndots', value: '2' },
        { name: 'timeout', value: '1' },
        { name: 'edns0' },
        { name: 'attempts' },
      ),
      { maxLength: 3, selector: ({ name: key }) => key },
    ),
  },
  { requiredKeys: [] },
);

const podSpec = fc.record(
  {
    containers: fc.array(container, { minLength: 1, maxLength: 2 }),
    dnsConfig: fc.oneof(dnsConfig, fc.constant(null)),
    dnsPolicy: fc.constantFrom('ClusterFirst', 'Default'),
    volumes: fc.array(fc.record({ name, extra: something }), { maxLength: 2 }),
    extra: something,
  },
  { requiredKeys: ['containers'] },
);

const template = fc.record(
  {
    metadata: fc.oneof(fc.record({ annotations, labels: texts }, { requiredKeys: [] }), fc.constant(null)),
    spec: podSpec,
  },
  { requiredKeys: ['spec'] },
);

/** Objects that may share parts: written as anchors and aliases. */
const object = fc.tuple(template, fc.boolean(), fc.boolean(), something).map(([pod, shared, listed, extra]) => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'a', annotations: shared ? (pod.metadata?.annotations ?? {}) : { a: 'b' } },
    spec: { template: pod, extra },
    kept: shared ? [pod.metadata, pod.spec.dnsConfig] : [],
  };
  const another = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'b' }, spec: pod.spec };
  return listed ? { apiVersion: 'v1', kind: 'List', items: [deployment, another] } : deployment;
});

interface Style {
  readonly seed: number;
  readonly flow: number;
  readonly comments: number;
  readonly options: object;
}

const style = fc.record<Style>({
  seed: fc.nat(),
  flow: fc.constantFrom(0, 0, 0.1, 0.5),
  comments: fc.constantFrom(0, 0.1, 0.4),
  options: fc.record({
    indent: fc.constantFrom(2, 4),
    indentSeq: fc.boolean(),
    singleQuote: fc.boolean(),
    lineWidth: fc.constantFrom(0, 80),
    nullStr: fc.constantFrom('null', '~'),
  }),
});

/** Writes a value as YAML in one of many styles, with unquoted scalars as they are. */
function written(value: unknown, { seed, flow, comments, options }: Style): string {
  const document = new Document(value, { version: '1.1', compat: 'core', aliasDuplicateObjects: true });
  let state = seed;
  const chance = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  const plain: string[] = [];
  visit(document, {
    Map(_key, node) {
      const source: unknown = node.items.length === 1 ? node.get('plain') : undefined;
      if (typeof source === 'string' && PLAIN.includes(source)) {
        plain.push(source);
        const token = new Scalar(`PLAIN${plain.length - 1}X`);
        if (node.anchor !== undefined) token.anchor = node.anchor;
        return token;
      }
      node.flow = chance() < flow;
      return undefined;
    },
    Seq(_key, node) {
      node.flow = chance() < flow;
    },
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string') return;
      if (!node.value.startsWith('PLAIN') && chance() < 0.2)
        node.type = chance() < 0.5 ? 'BLOCK_LITERAL' : 'QUOTE_DOUBLE';
      if (chance() < comments) node.comment = ' why: {not} [this] "one" &a *b';
    },
    Pair(_key, pair) {
      if (isScalar(pair.key) && chance() < comments / 2 && !isMap(pair.value)) pair.key.commentBefore = ' above\n---x';
    },
  });
  const text = document.toString(options);
  return text.replaceAll(/PLAIN(\d+)X/g, (_all, index: string) => plain[Number(index)] ?? '');
}

/** Texts of manifests with a Deployment, perhaps in a List with a Pod, written in many ways. */
export const manifestTexts: fc.Arbitrary<string> = fc.tuple(object, style).map(([value, how]) => written(value, how));
