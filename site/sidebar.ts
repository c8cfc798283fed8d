interface Entry {
  readonly text: string;
  readonly link: string;
}

interface Group {
  readonly text: string;
  readonly items: readonly Entry[];
}

export const entries = (links: Readonly<Record<string, string>>): Entry[] =>
  Object.entries(links).map(([text, link]) => ({ text, link }));

export const SIDEBAR: readonly Group[] = [
  {
    text: 'Start',
    items: entries({
      'What it is': '/',
      'By task and by symptom': '/docs/',
      Questions: '/docs/faq',
      'What it works with': '/docs/support',
      Evidence: '/docs/evidence',
    }),
  },
  {
    text: 'Look first',
    items: entries({ audit: '/docs/audit', doctor: '/docs/doctor', 'Command line': '/docs/cli' }),
  },
  {
    text: 'Run it',
    items: entries({
      Installing: '/docs/install',
      'To the whole cluster': '/docs/rollout',
      Configuration: '/docs/configuration',
      "The chart's values": '/charts/libc-dns-webhook/',
      'Plain manifests': '/certs/',
      'Private images': '/docs/pull-secrets',
      'ImageLibc objects': '/docs/image-libc',
      'Warm-up': '/docs/warm-up',
      'Without a webhook': '/docs/policy',
      Certificates: '/docs/certificates',
    }),
  },
  {
    text: 'On call',
    items: entries({
      Troubleshooting: '/docs/troubleshooting',
      Runbook: '/docs/runbook',
      'Metrics and logs': '/docs/metrics',
      Traces: '/docs/tracing',
    }),
  },
  {
    text: 'Review it',
    items: entries({
      Security: '/docs/security',
      Faults: '/docs/faults',
      Performance: '/docs/performance',
      Limits: '/docs/limits',
      'On a whole cluster': '/docs/e2e',
      Dependencies: '/docs/dependencies',
    }),
  },
  {
    text: 'Understand it',
    items: entries({
      Architecture: '/docs/architecture',
      Detection: '/docs/detection',
      'What it knows of a cluster': '/docs/cluster-facts',
      Decisions: '/docs/decisions/',
      Changes: '/CHANGELOG',
      Contributing: '/CONTRIBUTING',
    }),
  },
];
