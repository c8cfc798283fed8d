const H = 'apiVersion: v1\nkind: Pod\n';

/** Pods whose odd part is what `inject` edits. */
export const ODD_PODS: Readonly<Record<string, string>> = {
  'cr annotations': (
    H + 'metadata:\n  name: a\n  annotations:\n    a: b\nspec:\n  containers:\n  - name: c\n    image: i\n'
  ).replaceAll('\n', '\r'),
  nel: (
    H + 'metadata:\n  name: a\n  annotations:\n    a: b\nspec:\n  containers:\n  - name: c\n    image: i\n'
  ).replaceAll('\n', '\u0085'),
  'ls in flow': H + 'metadata: {name: a,\u2028 annotations: {a: b}}\nspec: {containers: [{name: c,\u2028 image: i}]}\n',
  'question spec': H + 'metadata: {name: a}\n? spec\n: containers:\n  - {name: c, image: i}\n',
  'quoted keys':
    '"apiVersion": "v1"\n"kind": "Pod"\n"metadata":\n  "name": "a"\n"spec":\n  "containers":\n  - {"name": "c", "image": "i"}\n',
  'metadata null': H + 'metadata:\nspec: {containers: [{name: c, image: i}]}\n',
  'metadata tilde': H + 'metadata: ~ # none\nspec: {containers: [{name: c, image: i}]}\n',
  'annotations null': H + 'metadata: {name: a, annotations: null}\nspec: {containers: [{name: c, image: i}]}\n',
  'annotations empty block':
    H + 'metadata:\n  name: a\n  annotations:\n  # nothing\nspec: {containers: [{name: c, image: i}]}\n',
  'dup spec':
    H + 'spec: {containers: [{name: x, image: y}]}\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n',
  'dup annotations':
    H +
    'metadata:\n  name: a\n  annotations: {a: b}\n  annotations: {c: d}\nspec: {containers: [{name: c, image: i}]}\n',
  'dnsConfig empty': H + 'metadata: {name: a}\nspec:\n  dnsConfig: {}\n  containers: [{name: c, image: i}]\n',
  'dnsConfig null': H + 'metadata: {name: a}\nspec:\n  dnsConfig:\n  containers: [{name: c, image: i}]\n',
  'options anchored':
    H +
    'metadata: {name: a}\nspec:\n  dnsConfig: {options: &o [{name: ndots, value: "2"}]}\n  containers: [{name: c, image: i}]\nx: *o\n',
  'options alias':
    'x: &o\n- {name: ndots, value: "2"}\n' +
    H +
    'metadata: {name: a}\nspec:\n  dnsConfig: {options: *o}\n  containers: [{name: c, image: i}]\n',
  'dnsConfig merge':
    'x: &d {options: [{name: ndots, value: "2"}]}\n' +
    H +
    'metadata: {name: a}\nspec:\n  dnsConfig: {<<: *d}\n  containers: [{name: c, image: i}]\n',
  'spec merge':
    'x: &s {containers: [{name: c, image: i}], dnsConfig: {options: [{name: ndots}]}}\n' +
    H +
    'metadata: {name: a}\nspec:\n  <<: *s\n',
  'spec alias': 'x: &s {containers: [{name: c, image: i}]}\n' + H + 'metadata: {name: a}\nspec: *s\n',
  'containers alias': 'x: &s [{name: c, image: i}]\n' + H + 'metadata: {name: a}\nspec: {containers: *s}\n',
  'template twice':
    'apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: a}\n  spec:\n    template: &t\n      metadata: {annotations: {x: z}}\n      spec: {containers: [{name: c, image: i}]}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: b}\n  spec:\n    template: *t\n',
  'merge list':
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nx: &a {spec: {containers: [{name: c, image: i}]}}\ny: &b {metadata: {labels: {q: r}}}\nspec:\n  template:\n    <<: [*a, *b]\n',
  'annotation block scalar last':
    H + 'metadata:\n  name: a\n  annotations:\n    a: |+\n      x\n\n\nspec: {containers: [{name: c, image: i}]}\n',
  'spec last literal keep': H + 'spec:\n  containers:\n  - name: c\n    image: i\n    args:\n    - |+\n      x\n\n\n',
  'spec last literal noeol': H + 'spec:\n  containers:\n  - name: c\n    image: i\n    args:\n    - |\n      x',
  'spec last plain multi':
    H + 'spec:\n  containers:\n  - name: c\n    image: i\n    args:\n    - a\n      b\n  \n\n# end\n',
  'comment deeper at end': H + 'spec:\n  containers:\n  - name: c\n    image: i\n      # deep\n    # c\n  # b\n# a\n',
  'flow unindented': H + 'spec: {\ncontainers: [\n{name: c,\nimage: i}\n]\n}\nmetadata: {\n}\n',
  'flow trailing comma': H + 'spec: {containers: [{name: c, image: i,},],}\nmetadata: {annotations: {a: b,},}\n',
  'flow comment end': H + 'spec: {containers: [{name: c, image: i}] # x\n  }\nmetadata: {annotations: {a: b # c\n }}\n',
  'tab sep': H + 'spec:\t\n  containers:\t# x\n  - name:\tc\n    image:\ti\nmetadata:\t{name:\ta}\n',
  'indent 1':
    'apiVersion: v1\nkind: Pod\nmetadata:\n name: a\n annotations:\n  x: z\nspec:\n containers:\n - name: c\n   image: i\n',
  'indent 8':
    'apiVersion: v1\nkind: Pod\nmetadata:\n        name: a\nspec:\n        containers:\n                - name: c\n                  image: i\n',
  'top indented': '  apiVersion: v1\n  kind: Pod\n  spec:\n    containers:\n    - name: c\n      image: i\n',
  'sep content map': '--- # x\napiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, image: i}]}\n...\n',
  'dots mid':
    H + 'spec: {containers: [{name: c, image: i}]}\n...\n---\n' + H + 'spec: {containers: [{name: c, image: i}]}\n',
  'tagged spec': H + 'spec: !!map\n  containers: !!seq\n  - name: !!str c\n    image: i\nmetadata: !!map {name: a}\n',
  'anchored spec': H + 'spec: &s\n  containers:\n  - name: c\n    image: i\nmetadata: &m\n  name: a\n',
  'json compact':
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}',
  'json tabs':
    '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {\n\t\t"name": "a"\n\t},\n\t"spec": {\n\t\t"containers": [\n\t\t\t{"name": "c", "image": "i"}\n\t\t]\n\t}\n}\n',
  'json empty metadata':
    '{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{"containers":[{"name":"c","image":"i"}],"dnsConfig":{"options":[]}}}\n',
  'json ls':
    '{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"a":"x\u2028y\u0085z"}},"spec":{"containers":[{"name":"c","image":"i"}]}}\n',
  'json dup':
    '{"apiVersion":"v1","kind":"Pod","spec":{"containers":[]},"spec":{"containers":[{"name":"c","image":"i"}]}}\n',
  'json escaped key': '{"apiVersion":"v1","kind":"Pod","\\u0073pec":{"containers":[{"name":"c","image":"i"}]}}\n',
  'crlf list': (
    'apiVersion: v1\nkind: List\nitems:\n- ' +
    H.replaceAll('\n', '\n  ') +
    'spec: {containers: [{name: c, image: i}]}\n'
  ).replaceAll('\n', '\r\n'),
  'ls comment': H + '# a\u2028spec:\n  containers: [{name: c, image: i}]\n',
  'ls literal in args':
    H + 'spec:\n  containers:\n  - name: c\n    image: i\n    args:\n    - |\n      x\u2028      y\n',
};
