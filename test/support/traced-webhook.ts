import { onTestFinished } from 'vitest';

import { bundle } from './bundle.ts';
import { elf } from './elf-builder.ts';
import { image } from './image-builder.ts';
import { layer } from './layer-builder.ts';
import { type RegistryServer, startRegistry } from './registry-server.ts';
import { answerOf, fixture } from './reviews.ts';
import { startWebhook, type WebhookProcess } from './webhook-process.ts';

/** Webhooks that send traces, and a registry whose requests are in them. */
export interface TracedWebhooks {
  readonly registry: RegistryServer;
  /** The file that the webhooks run. */
  readonly main: string;
  /** Puts an image with a musl program into the registry. Returns its reference. */
  readonly push: (repository: string) => string;
  /** Starts a webhook that sends JSON every 50 ms; it ends with the test. */
  readonly serve: (endpoint: string, environment?: Readonly<Record<string, string>>) => Promise<WebhookProcess>;
  readonly close: () => Promise<void>;
}

export async function openTracedWebhooks(): Promise<TracedWebhooks> {
  const registry = await startRegistry({ delayMs: 20 });
  const { main, remove } = bundle();
  return {
    registry,
    main,
    push(repository) {
      const app = { path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) };
      const content = image({ layers: [layer([app], 'gzip')], config: { entrypoint: ['/app'] } });
      return registry.put(`${repository}:v1`, content);
    },
    async serve(endpoint, environment = {}) {
      const webhook = await startWebhook({
        flags: ['--namespace-mode', 'enforce'],
        settings: { DETECTION_REGISTRY_INSECURE: registry.host, DETECTION_BUDGET: '4s' },
        environment: {
          OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
          OTEL_BSP_SCHEDULE_DELAY: '50',
          ...environment,
        },
        main,
      });
      onTestFinished(() => void webhook.process.kill('SIGKILL'));
      return webhook;
    },
    async close() {
      await registry.close();
      remove();
    },
  };
}

/** A trace of an API server, and its span that calls the webhook. */
export const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
export const CALLER = '00f067aa0ba902b7';
export const SAMPLED = { traceparent: `00-${TRACE}-${CALLER}-01` };

/** The span of the review of a Pod that was patched, with the kind and attributes that docs/tracing.md promises. */
export const ADMITTED = {
  kind: 2,
  attributes: {
    'k8s.namespace.name': 'shop',
    'libc_dns.mode': 'enforce',
    'libc_dns.reason': 'MuslRetried',
    'libc_dns.remedy': ['retry'],
    'libc_dns.dry_run': false,
    'libc_dns.patched': true,
  },
} as const;

/** Returns a review of a Pod whose containers run an image, and have a password in their environment. */
function review(reference: string): string {
  const whole = fixture('plain');
  const containers = whole.request.object.spec['containers'] as { image: string; env?: object[] }[];
  for (const container of containers) {
    container.image = reference;
    container.env = [{ name: 'PASSWORD', value: 'hunter2' }];
  }
  return JSON.stringify(whole);
}

/** Creates a Pod. Returns what the webhook found in its first container. */
export async function resolverOf(
  webhook: WebhookProcess,
  reference: string,
  headers = {},
): Promise<string | undefined> {
  const answer = answerOf(await webhook.post(review(reference), { headers }));
  return Object.values(answer.audit.decision.resolvers)[0];
}
