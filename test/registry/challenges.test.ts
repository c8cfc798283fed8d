import { describe, expect, it, onTestFinished } from 'vitest';

import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import {
  type Asked,
  type Handler,
  alice,
  basicOfAlice,
  look,
  refused,
  serve,
  withLogin,
} from '../support/answering-registry.ts';
import { amd64, lookupContext, testClient } from '../support/registry-harness.ts';

// What registries in the field answer, each in small: read as containerd reads it (core/remotes/docker), or better.

const sent = (asked: readonly Asked[]) =>
  asked.map(({ path, authorization }) => [path.split('/')[3] ?? path, authorization]);

describe('a registry that challenges on /v2/ alone', () => {
  it.each([
    [404, 'Basic realm="GitHub Package Registry"', basicOfAlice, 5],
    [401, 'Basic realm="Registry"', basicOfAlice, 5],
    [403, 'bearer', 'Bearer tok', 6],
    [401, 'bearer', 'Bearer tok', 6],
  ])('and answers %d elsewhere: %s', async (status, challenge, accepted, requests) => {
    const { host, asked } = await serve(({ path, authorization, base }) => {
      if (path === '/token' || authorization === accepted) return undefined;
      const header = challenge === 'bearer' ? `Bearer realm="${base}/token",service="x"` : challenge;
      return path === '/v2/' ? refused(header) : refused(undefined, status);
    });
    const { context, again } = await look(host, withLogin(host));
    expect(context.meter.requests).toBe(requests);
    expect(asked.find(({ path }) => path === '/v2/')?.authorization).toBe('');
    const next = lookupContext();
    await again(next);
    expect(next.meter.requests).toBe(2);
  });

  it('gives a token to nobody, too', async () => {
    const { host } = await serve(({ path, authorization, base }) => {
      if (path === '/token' || authorization === 'Bearer tok') return undefined;
      return path === '/v2/' ? refused(`Bearer realm="${base}/token"`) : refused(undefined, 403);
    });
    expect((await look(host)).context.meter.requests).toBe(6);
  });

  it('and lacks the image is asked there once', async () => {
    const { host, asked } = await serve(({ path }) => (path === '/v2/' ? undefined : refused(undefined, 404)));
    const client = testClient({ insecure: [host], ...withLogin(host) });
    onTestFinished(client.close);
    for (const name of ['a', 'b', 'c']) {
      const found = client.open(`${host}/${name}`).manifest(amd64, lookupContext());
      await expect(found).rejects.toMatchObject({ code: 'not-found' });
    }
    expect(asked.filter(({ path }) => path === '/v2/')).toHaveLength(1);
  });

  it('is not asked there without a login, for what it does not have', async () => {
    const { host, asked } = await serve(() => refused(undefined, 404));
    await expect(look(host)).rejects.toMatchObject({ code: 'not-found' });
    expect(asked).toHaveLength(1);
  });

  it.each([500, 429])('and answers %d there: the first answer stands', async (status) => {
    const { host } = await serve(({ path }) => refused(undefined, path === '/v2/' ? status : 404));
    await expect(look(host, withLogin(host))).rejects.toMatchObject({ code: 'not-found' });
  });

  it('with a challenge on another host gets no login', async () => {
    const thief = await serve(() => refused('Basic realm="x"'));
    const { host } = await serve(({ path }) =>
      path === '/v2/' ? { status: 307, headers: { location: `http://${thief.host}/v2/` } } : refused(undefined, 404),
    );
    await expect(look(host, withLogin(host))).rejects.toMatchObject({ code: 'not-found' });
    expect(thief.asked.map(({ authorization }) => authorization)).toEqual(['']);
  });
});

describe('Basic beside Bearer', () => {
  const both = (base: string) => [`Basic realm="x"`, `Bearer realm="${base}/token"`];

  it.each<[string, Handler]>([
    ['whose token is refused', () => undefined],
    ['whose token server fails', ({ path }) => (path === '/token' ? { status: 500 } : undefined)],
    ['whose token server refuses', ({ path }) => (path === '/token' ? refused() : undefined)],
    ['whose token server is gone', ({ path }) => (path === '/token' ? { status: 404 } : undefined)],
  ])('is tried after Bearer %s', async (_, tokens) => {
    const { host, asked } = await serve((one) => {
      if (one.path === '/token') return tokens(one);
      return one.authorization === basicOfAlice ? undefined : refused(both(one.base));
    });
    await look(host, withLogin(host));
    expect(sent(asked).at(-1)?.[1]).toBe(basicOfAlice);
  });

  it('is tried where Bearer names no token server', async () => {
    const { host } = await serve(({ authorization }) =>
      authorization === basicOfAlice ? undefined : refused('Bearer service="x", Basic realm="y"'),
    );
    expect((await look(host, withLogin(host))).context.meter.requests).toBe(4);
  });

  it('is not tried if the token serves', async () => {
    const { host, asked } = await serve(({ path, authorization, base }) =>
      path === '/token' || authorization === 'Bearer tok' ? undefined : refused(both(base)),
    );
    expect((await look(host, withLogin(host))).context.meter.requests).toBe(5);
    const basic = asked.filter(({ authorization }) => authorization === basicOfAlice);
    expect(basic.map(({ path }) => path)).toEqual(['/token']);
  });

  it('both refused ends', async () => {
    const { host } = await serve(({ path, base }) => (path === '/token' ? undefined : refused(both(base))));
    const context = lookupContext();
    await expect(look(host, withLogin(host), 0, context)).rejects.toMatchObject({ code: 'unauthorized' });
    expect(context.meter.requests).toBeLessThanOrEqual(12);
  });
});

describe('a challenge for', () => {
  const ours = 'repository:team/app:pull';
  it.each([
    ['everything', '*', [ours]],
    ['another repository', 'repository:cache/team/app:pull', ['repository:cache/team/app:pull', ours]],
    ['ours', ours, [ours]],
    ['several', `repository:a:pull ${ours}  repository:b:pull`, ['repository:a:pull', ours, 'repository:b:pull']],
    [
      'writing',
      'repository:x:pull,push repository:y:push repository:z:*',
      ['repository:x:pull', 'repository:z:pull', ours],
    ],
    ['the catalog', 'registry:catalog:*', [ours]],
    ['what ECR Public names', 'aws', ['aws', ours]],
    ['what could break a message', 'a\u00e9 repository:<script>:pull', [ours]],
  ])('%s: what is asked of the token server, once', async (_, scope, expected) => {
    const { host, asked } = await serve(({ path, authorization, base }) =>
      path === '/token' || authorization === 'Bearer tok'
        ? undefined
        : refused(`Bearer realm="${base}/token?scope=x",scope="${scope}"`),
    );
    expect((await look(host)).context.meter.requests).toBe(5);
    expect(asked.filter(({ path }) => path === '/token').map(({ query }) => query.getAll('scope'))).toEqual([expected]);
  });
});

describe('a registry that leads to another', () => {
  const setUp = async (accepted: string, challenge: (base: string) => string) => {
    const real = await serve(({ path, authorization, base }) =>
      path === '/token' || authorization === accepted ? undefined : refused(challenge(base)),
    );
    const vanity = await serve(({ path }) => ({
      status: 307,
      headers: { location: `http://${real.host}${path}` },
    }));
    return { real, vanity };
  };

  it('and wants a token there gets it, and is asked for the rest there', async () => {
    const { real, vanity } = await setUp('Bearer tok', (base) => `Bearer realm="${base}/token"`);
    const { context } = await look(vanity.host, withLogin(vanity.host));
    expect(context.meter.requests).toBe(6);
    expect(vanity.asked).toHaveLength(1);
    expect(real.asked.filter(({ authorization }) => authorization.startsWith('Basic'))).toEqual([]);
  });

  it('and wants a login there gets the one for that host', async () => {
    const { real, vanity } = await setUp(basicOfAlice, () => 'Basic realm="x"');
    const credentials = listedCredentials([
      { host: vanity.host, credential: { username: 'v', password: 'v' } },
      { host: real.host, credential: alice },
    ]);
    await look(vanity.host, { credentials });
    expect(new Set(sent(real.asked).map(([, authorization]) => authorization))).toEqual(new Set(['', basicOfAlice]));
    expect(sent(vanity.asked).flat()).not.toContain(basicOfAlice);
  });

  it("gets the Pod's own login for that host", async () => {
    const { real, vanity } = await setUp(basicOfAlice, () => 'Basic realm="x"');
    const { context } = await look(vanity.host, {}, 0, lookupContext([{ host: real.host, credential: alice }]));
    expect(context.meter.requests).toBe(5);
  });

  it.each(['deny', 'allow'] as const)('to a repository that %s keeps out gets no login', async (list) => {
    const { real, vanity } = await setUp(basicOfAlice, () => 'Basic realm="x"');
    const lists = list === 'deny' ? { deny: [`${real.host}/team/app`] } : { allow: [vanity.host] };
    const found = look(vanity.host, { ...withLogin(real.host), ...lists });
    await expect(found).rejects.toMatchObject({ code: 'unauthorized' });
    expect(sent(real.asked).every(([, authorization]) => authorization === '')).toBe(true);
  });

  it('that leads on for ever ends', async () => {
    const hosts: string[] = [];
    const hop = async (to: number) =>
      (
        await serve(({ path, authorization }) =>
          authorization === '' && to === 0
            ? refused('Basic realm="x"')
            : { status: 307, headers: { location: `http://${hosts[to]}${path}` } },
        )
      ).host;
    hosts.push(await hop(1), await hop(0));
    const credentials = listedCredentials(hosts.map((host) => ({ host, credential: alice })));
    const context = lookupContext();
    await expect(look(hosts[0]!, { credentials }, 0, context)).rejects.toThrow(/redirected more than|wants a login/);
    expect(context.meter.requests).toBeLessThan(30);
  });

  it('but not for the rest is asked for that itself', async () => {
    const { real, vanity } = await setUp('Bearer tok', (base) => `Bearer realm="${base}/token"`);
    const blobs = await serve(() => undefined);
    const partly = await serve(({ path }) => ({
      status: 302,
      headers: { location: `http://${path.includes('/blobs/') ? blobs.host : vanity.host}${path}` },
    }));
    const real404 = await serve((one) => {
      if (one.path.includes('/blobs/')) return { status: 404 };
      return one.path === '/token' || one.authorization === 'Bearer tok'
        ? undefined
        : refused(`Bearer realm="${one.base}/token"`);
    });
    const leads = await serve(({ path }) => ({
      status: 302,
      headers: { location: `http://${path.includes('/blobs/') ? blobs.host : real404.host}${path}` },
    }));
    await look(partly.host);
    await look(leads.host);
    expect(real.asked.length).toBeGreaterThan(0);
    expect(blobs.asked.length).toBeGreaterThan(0);
  });
});
