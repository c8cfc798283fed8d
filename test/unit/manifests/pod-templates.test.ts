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
      "a template where Kubernetes' own kinds have theirs, and others",
      {
        kind: 'X',
        spec: { template: { spec: { containers: [{ name: 'c' }], extra: { spec } } }, canary: { template: { spec } } },
      },
      ['spec.template', 'spec.canary.template'],
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

describe('operators that keep images or DNS settings elsewhere', () => {
  const find = (value: unknown) =>
    podTemplates(value).map(({ metadataPath, specPath, pod }) => {
      const { containers } = (pod as { spec: { containers: { name: string; image: string }[] } }).spec;
      return [metadataPath.join('.'), specPath.join('.')].concat(
        containers.map(({ name, image }) => `${name}=${image}`),
      );
    });

  it.each([
    ['Workflow', 'spec'],
    ['WorkflowTemplate', 'spec'],
    ['CronWorkflow', 'spec.workflowSpec'],
  ])('Argo’s %s: the settings are of the workflow, the images of its templates', (kind, at) => {
    const workflow = {
      templates: [
        { name: 'a', container: { image: 'one' } },
        { name: 'b', script: { image: 'two' }, initContainers: [{ name: 'i', image: 'three' }], sidecars: [null] },
        { name: 'c', containerSet: { containers: [{ name: 'd', image: 'four' }] } },
        { name: 'e', steps: [[]] },
      ],
    };
    const whole = kind === 'CronWorkflow' ? { workflowSpec: workflow } : workflow;
    expect(find({ apiVersion: 'argoproj.io/v1alpha1', kind, spec: whole })).toEqual([
      [`${at}.podMetadata`, at, 'a=one', 'b=two', 'i=three', 'd=four'],
    ]);
    expect(find({ apiVersion: 'argoproj.io/v1alpha1', kind, spec: {} })).toEqual([]);
  });

  it('Elastic’s podTemplate: containers get the image that the operator gives them', () => {
    const containers = [{ name: 'elasticsearch' }, { name: 'side', image: 'busybox' }];
    const object = (more: object) => ({
      apiVersion: 'elasticsearch.k8s.elastic.co/v1',
      kind: 'Elasticsearch',
      spec: { version: '8.16.0', nodeSets: [{ podTemplate: { spec: { containers } } }, { podTemplate: {} }], ...more },
    });
    const at = 'spec.nodeSets.0.podTemplate';
    const usual = 'elasticsearch=docker.elastic.co/elasticsearch/elasticsearch:8.16.0';
    expect(find(object({}))).toEqual([[`${at}.metadata`, `${at}.spec`, usual, 'side=busybox']]);
    expect(find(object({ image: 'mine' }))).toEqual([
      [`${at}.metadata`, `${at}.spec`, 'elasticsearch=mine', 'side=busybox'],
    ]);
  });

  it.each([
    ['Beat', { type: 'filebeat' }, 'main=docker.elastic.co/beats/filebeat:9.0.0'],
    ['Beat', { type: 'ownbeat' }, 'main='],
    ['Agent', {}, 'main=docker.elastic.co/beats/elastic-agent:9.0.0'],
    ['StackConfigPolicy', {}, 'main='],
  ])('Elastic’s %s %j', (kind, more, image) => {
    const daemonSet = { podTemplate: { spec: { containers: [{ name: 'main' }] } } };
    const at = 'spec.daemonSet.podTemplate';
    const object = { apiVersion: 'x.k8s.elastic.co/v1', kind, spec: { version: '9.0.0', daemonSet, ...more } };
    expect(find(object)).toEqual([[`${at}.metadata`, `${at}.spec`, image]]);
  });

  it('Flink’s podTemplate: the main container runs the image of the object', () => {
    const podTemplate = {
      spec: { containers: [{ name: 'flink-main-container' }, { name: 'side', image: 'busybox' }] },
    };
    const flink = { image: 'flink:2.0', podTemplate, taskManager: { podTemplate } };
    const images = ['flink-main-container=flink:2.0', 'side=busybox'];
    expect(find({ apiVersion: 'flink.apache.org/v1beta1', kind: 'FlinkDeployment', spec: flink })).toEqual([
      ['spec.podTemplate.metadata', 'spec.podTemplate.spec', ...images],
      ['spec.taskManager.podTemplate.metadata', 'spec.taskManager.podTemplate.spec', ...images],
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
    ['no kind', { metadata: { name: 'x' }, spec }, ['it has no kind']],
    ['CloudNativePG', { kind: 'Cluster', spec: { imageName: 'a' } }, ['no Pod template found in it']],
    ['an image of a chart', { kind: 'HelmRelease', spec: { values: { image: { repository: 'a' } } } }, []],
    ['a schema', { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', spec: { image: 'a' } }, []],
    [
      'Strimzi',
      { apiVersion: 'kafka.strimzi.io/v1', kind: 'Kafka', spec: {} },
      ['Strimzi makes its Pods itself, from template.pod'],
    ],
    ['a topic of Strimzi', { apiVersion: 'kafka.strimzi.io/v1', kind: 'KafkaTopic', spec: {} }, []],
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
