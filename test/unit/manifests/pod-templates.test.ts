import { describe, expect, it } from 'vitest';

import { namespaceLabels, passedOver, podTemplates } from '../../../src/manifests/pod-templates.ts';

const spec = { containers: [{ name: 'c', image: 'busybox' }] };

const paths = (value: unknown): string[] =>
  podTemplates(value).map(({ objectPath, podPath }) => [...objectPath, ...podPath].join('.'));

describe('podTemplates', () => {
  it.each([
    ['a Pod', { apiVersion: 'v1', kind: 'Pod', spec: {} }, ['']],
    [
      'containers without images, where Kubernetes has its template',
      { kind: 'Job', spec: { template: { spec: { containers: [{}] } } } },
      ['spec.template'],
    ],
    [
      'any field of the shape',
      { kind: 'X', spec: { a: [{ b: { spec } }, { c: { spec } }] } },
      ['spec.a.0.b', 'spec.a.1.c'],
    ],
    [
      'an object inside of another',
      { kind: 'Object', spec: { forProvider: { manifest: { kind: 'Pod', spec } } } },
      ['spec.forProvider.manifest'],
    ],
    ['no container', { kind: 'X', spec: { a: { spec: { containers: [] } } } }, []],
    ['containers without images', { kind: 'X', spec: { a: { spec: { containers: [{ name: 'c' }] } } } }, []],
    ['the status', { kind: 'X', status: { a: { spec } } }, []],
    [
      'a pattern',
      { apiVersion: 'kyverno.io/v1', kind: 'ClusterPolicy', spec: { rules: [{ validate: { pattern: { spec } } }] } },
      [],
    ],
    ['history', { apiVersion: 'apps/v1', kind: 'ControllerRevision', data: { spec: { template: { spec } } } }, []],
    [
      'a schema',
      { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', spec: { a: { spec } } },
      [],
    ],
    ['Knative', { apiVersion: 'serving.knative.dev/v1', kind: 'Service', spec: { template: { spec } } }, []],
    [
      'a list in a List',
      { kind: 'List', items: [{ apiVersion: 'v1', kind: 'PodList', items: [{ spec }, null] }] },
      ['items.0.items.0'],
    ],
    [
      'an OpenShift Template',
      {
        apiVersion: 'template.openshift.io/v1',
        kind: 'Template',
        objects: [{ kind: 'X', spec: { template: { spec } } }],
      },
      ['objects.0.spec.template'],
    ],
    ['nothing', null, []],
  ])('%s', (_name, value, found) => {
    expect(paths(value)).toEqual(found);
  });

  it('names the object, with the kind that the items of a typed list lack', () => {
    const metadata = { generateName: 'a-', namespace: 'shop' };
    expect(podTemplates({ apiVersion: 'v1', kind: 'PodList', items: [{ metadata, spec }] })).toMatchObject([
      { kind: 'Pod', name: 'a-', namespace: 'shop' },
    ]);
  });
});

describe('passedOver', () => {
  it.each([
    ['a template', { kind: 'X', spec: { template: { spec } } }, []],
    [
      'an image elsewhere',
      { kind: 'X', metadata: { name: 'x' }, spec: { steps: [{ image: 'a' }] } },
      ['no Pod template found in it'],
    ],
    [
      'Knative',
      { apiVersion: 'serving.knative.dev/v1', kind: 'Service', spec: { template: { spec } } },
      ['Knative refuses DNS settings unless kubernetes.podspec-dnsconfig is enabled'],
    ],
    ['an image of a chart', { kind: 'HelmRelease', spec: { values: { image: { repository: 'a' } } } }, []],
    ['a schema', { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', spec: { image: 'a' } }, []],
    ['images of a node', { apiVersion: 'v1', kind: 'Node', status: { images: [], image: 'a' } }, []],
  ])('%s', (_name, value, why) => {
    expect(passedOver(value).map((one) => one.why)).toEqual(why);
  });
});

it('namespaceLabels: of Namespaces, also in a typed list', () => {
  const item = { metadata: { name: 'shop', labels: { a: 'b' } } };
  expect([...namespaceLabels({ apiVersion: 'v1', kind: 'NamespaceList', items: [item] })]).toEqual([
    ['shop', { a: 'b' }],
  ]);
});
