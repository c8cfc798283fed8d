import { describe, expect, it } from 'vitest';

import { kubeProxyOf, type KubeProxySources } from '../../../src/exposure/kube-proxy.ts';

const text = (more: string) => ({ text: more, from: 'ConfigMap', key: 'config.conf' });
const config = (mode: string) =>
  text(`apiVersion: v1\nkind: KubeProxyConfiguration\n${mode}\nnodePort: {}\nwinkernel: {}\n`);
const pod = (...words: string[]) => ({ words, from: 'Pod' });
const bomb = ['a: &a [x]', ...Array.from({ length: 12 }, (_, n) => `k${n}: [*a,*a,*a,*a]`), 'mode: ipvs'].join('\n');

const BY_DEFAULT = ['iptables', 'ConfigMap', 'config.conf names none'];
const STRANGE = ['unknown', 'ConfigMap', 'its config.conf is not understood'];

describe('how Services are translated', () => {
  it.each<[string, Partial<KubeProxySources>, string[]]>([
    ['kubeadm: empty', { config: config('mode: ""') }, BY_DEFAULT],
    ['null', { config: config('mode: null') }, BY_DEFAULT],
    ['not given', { config: config('') }, BY_DEFAULT],
    ['not at the top', { config: config('linux:\n  mode: ipvs') }, BY_DEFAULT],
    ['ipvs', { config: config('mode: ipvs # faster') }, ['ipvs', 'ConfigMap', 'config.conf says so']],
    ['quoted', { config: config("mode: 'nftables'") }, ['nftables', 'ConfigMap', 'config.conf says so']],
    ['without a kind', { config: text('mode: ipvs') }, ['ipvs', 'ConfigMap', 'config.conf says so']],
    ['a mode of the future', { config: config('mode: ebpf') }, STRANGE],
    ['a list', { config: config('mode: [ipvs]') }, STRANGE],
    ['something else', { config: text('something: else') }, STRANGE],
    ['no YAML', { config: text('{') }, STRANGE],
    ['nothing in it', { config: text('') }, STRANGE],
    ['an alias bomb', { config: text(bomb) }, STRANGE],
    ['far too deep', { config: text('['.repeat(100_000)) }, STRANGE],
    ['far too long', { config: text(`mode: ipvs\n#${'x'.repeat(300_000)}`) }, STRANGE],
    [
      'a flag',
      { commandLine: pod('/usr/local/bin/kube-proxy', '--proxy-mode=ipvs') },
      ['ipvs', 'Pod', '--proxy-mode says so'],
    ],
    [
      'a flag and its word',
      { commandLine: pod('kube-proxy', '--proxy-mode', 'iptables') },
      ['iptables', 'Pod', '--proxy-mode says so'],
    ],
    [
      'an empty flag',
      { commandLine: pod('kube-proxy', '--proxy-mode=') },
      ['iptables', 'Pod', '--proxy-mode names none'],
    ],
    [
      'a flag in a shell',
      { commandLine: pod('/bin/sh', '-c', 'exec kube-proxy --proxy-mode=nftables --v=2') },
      ['nftables', 'Pod', '--proxy-mode says so'],
    ],
    [
      'a flag wins over a ConfigMap that nothing mounts',
      { commandLine: pod('kube-proxy', '--proxy-mode=ipvs'), config: config('mode: iptables') },
      ['ipvs', 'Pod', '--proxy-mode says so'],
    ],
    [
      '--config makes flags void',
      { commandLine: pod('kube-proxy', '--config=/f', '--proxy-mode=ipvs'), config: config('') },
      BY_DEFAULT,
    ],
    [
      'Cilium, though kube-proxy’s ConfigMap is left',
      { cilium: 'true', config: config('mode: ipvs') },
      ['other', 'ConfigMap kube-system/cilium-config', 'Cilium stands in for kube-proxy (kube-proxy-replacement true)'],
    ],
    ['Cilium beside it', { cilium: 'false', config: config('') }, BY_DEFAULT],
    ['nothing', {}, ['unknown', 'kube-system', 'neither a ConfigMap nor a Pod of kube-proxy or Cilium says it']],
    [
      'nothing that may be read',
      { unread: [new Error('no')] },
      ['unknown', 'kube-system', 'its ConfigMap and its Pods could not be read'],
    ],
  ])('%s', (_, sources, [mode, source, detail]) => {
    expect(kubeProxyOf({ unread: [], ...sources })).toEqual({ mode, source, detail });
  });
});
