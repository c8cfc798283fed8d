import { expect, it } from 'vitest';

import { defaultConfig } from '../../../src/config/schema.ts';
import { coreDns } from '../../kubernetes/programs.ts';

it('the lab measures the CoreDNS that Pods get', () => {
  expect(defaultConfig().sidecar.image).toBe(`registry.k8s.io/coredns/coredns:${coreDns.version}`);
});
