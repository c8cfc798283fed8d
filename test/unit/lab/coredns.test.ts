import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

import { defaultConfig } from '../../../src/config/schema.ts';

it('the lab measures the CoreDNS that Pods get', () => {
  const modules = readFileSync(new URL('../../lab/programs/coredns/go.mod', import.meta.url), 'utf8');
  const version = /github\.com\/coredns\/coredns (v\S+)/.exec(modules)?.[1];
  expect(defaultConfig().sidecar.image).toBe(`registry.k8s.io/coredns/coredns:${version}`);
});
