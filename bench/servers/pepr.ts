import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * A module of Pepr, run as `pepr dev` runs one: by Node itself, without the loader that unpacks it in Pepr's image. It gives all Pods the
 * telling floor's dnsConfig; Pepr logs and counts them and adds its own annotation. Arguments: the folder that Pepr is installed in,
 * port. Ends at SIGTERM.
 */
const [folder = '', port = '0'] = process.argv.slice(2);

/** The part of Pepr's types that is used here: its package is not a dependency of ours. */
interface Pepr {
  readonly a: { readonly Pod: unknown };
  readonly Capability: new (description: { name: string; description: string; namespaces: string[] }) => {
    When(kind: unknown): { IsCreated(): { Mutate(change: (pod: { Raw: { spec: object } }) => void): void } };
  };
  readonly PeprModule: new (
    packageJson: { description: string; pepr: object },
    capabilities: object[],
    options: { deferStart: boolean },
  ) => { start(port: number): void };
}

const { a, Capability, PeprModule } = createRequire(join(folder, 'package.json'))('pepr') as Pepr;

const capability = new Capability({ name: 'dns', description: 'Adds DNS options.', namespaces: [] });
capability
  .When(a.Pod)
  .IsCreated()
  .Mutate(({ Raw: { spec } }) => {
    Object.assign(spec, { dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } });
  });

const pepr = { uuid: 'bench', onError: 'ignore', webhookTimeout: 10, alwaysIgnore: { namespaces: [] } };
new PeprModule({ description: 'Adds DNS options.', pepr }, [capability], { deferStart: true }).start(Number(port));
