import { describe, expect, it } from 'vitest';

import type { Cluster } from '../../e2e/cluster/cluster.ts';
import { floodText } from '../../e2e/flood.ts';
import { asked } from '../../e2e/questions.ts';

/** As the plugin `log` of CoreDNS writes it. */
const LOG = `[INFO] 10.244.1.7:40112 - 61218 "A IN one.www.example.com. udp 45 false 512" NOERROR qr,aa,rd 66 0.0002s
[INFO] 10.244.1.7:40112 - 61219 "AAAA IN one.www.example.com. udp 45 false 512" NOERROR qr,aa,rd 45 0.0001s
[INFO] 10.244.2.3:51422 - 7 "A IN two.www.example.com. tcp 45 false 65535" NOERROR qr,aa,rd 66 0.0003s
[INFO] 10.244.2.3:51422 - 8 "A IN two.www.example.com. tcp 45 false 65535" NOERROR qr,aa,rd 66 0.0001s
[INFO] 10.244.2.3:51422 - 9 "A IN two.www.example.com.cluster.local. tcp 59 false 65535" NXDOMAIN qr,aa,rd 152 0.0001s
`;

const cluster = { kubectl: () => Promise.resolve(LOG) } as unknown as Cluster;

it('questions for IPv4 addresses are found in the log by their name, each with its protocol', async () => {
  const names = ['two.www.example.com.', 'one.www.example.com.', 'three.www.example.com.'];
  expect(await asked(cluster, names)).toEqual([['tcp', 'tcp'], ['udp'], []]);
});

describe('Pods that were created at a rate', () => {
  const seen = { pods: 350, refused: 0, unpatched: 0, p50: 9, p99: 153, longest: 5008 };
  it('are told with what was said of the first that was refused, and when those without a patch were sent', () => {
    expect(floodText(seen)).toBe('350 Pods, 0 refused, 0 unpatched, p50 9 ms, p99 153, longest 5008');
    const bad = {
      ...seen,
      refused: 1,
      refusal: 'read ECONNRESET',
      unpatched: 2,
      unpatchedFrom: 3250,
      unpatchedTo: 3694,
    };
    expect(floodText(bad)).toBe(
      '350 Pods, 1 refused (the first: read ECONNRESET), 2 unpatched (3250 to 3694 ms after the first), p50 9 ms, p99 153, longest 5008',
    );
  });
});
