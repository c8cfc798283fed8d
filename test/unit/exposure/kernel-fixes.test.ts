import { describe, expect, it } from 'vitest';

import { type FixState, kernelFixes } from '../../../src/exposure/kernel-fixes.ts';

const states = (version: string): string =>
  kernelFixes(version)
    .map(({ state }) => ({ present: '+', partial: '~', missing: '-', unknown: '?' })[state satisfies FixState])
    .join('');

describe('which fixes of the race a kernel has', () => {
  it.each([
    // no-entry-yet, one-confirmed, two-endpoints, nfqueue
    ['3.10.108', '----'],
    ['4.9.162', '----'],
    ['4.9.163', '-+--'],
    ['4.14.105', '----'],
    ['4.14.106', '-+--'],
    ['4.18.20', '----'],
    ['4.19.28', '+---'],
    ['4.19.29', '++--'],
    ['4.20.15', '+---'],
    ['4.20.16', '++--'],
    ['5.0.0', '++--'],
    ['5.4.302', '++--'],
    ['5.5.19', '++--'],
    ['5.6.0', '++~-'],
    ['5.8.18', '++~-'],
    ['5.9.0', '+++-'],
    ['6.11.11', '+++-'],
    ['6.12', '++++'],
    ['7.0.1', '++++'],
  ])('%s, as kernel.org releases it: %s', (version, expected) => expect(states(version)).toBe(expected));

  it.each([
    ['5.4.0-1089-azure', '++??', 'Ubuntu'],
    ['4.15.0-213-generic', '?+??', 'Ubuntu took the second fix over'],
    ['4.15.0-1103-azure', '?+??', 'the same for Azure'],
    ['4.4.0-210-generic', '????', 'Ubuntu before that'],
    ['3.10.0-1160.119.1.el7.x86_64', '????', 'RHEL 7'],
    ['4.18.0-553.el8_10.x86_64', '????', 'RHEL 8'],
    ['5.14.0-427.el9.x86_64', '+++?', 'RHEL 9'],
    ['4.14.355-277.647.amzn2.x86_64', '????', 'Amazon Linux 2'],
    ['6.1.119-129.201.amzn2023.x86_64', '+++?', 'Amazon Linux 2023'],
    ['4.19.0-27-amd64', '+???', "Debian's number of the ABI is not the stable release"],
    ['5.4.109+', '++--', 'Container-Optimized OS'],
    ['5.10.83-flatcar', '+++-', 'Flatcar'],
    ['4.19.25-talos', '+---', 'a build of the stable release of that number'],
    ['6.18.44-microsoft-standard-WSL2', '++++', 'WSL'],
  ])('%s: %s (%s)', (version, expected) => expect(states(version)).toBe(expected));

  it.each([[''], ['unknown'], ['10.0.20348.2402'], ['v5.4'], ['9'.repeat(5000)], ['5.-4'], ['99999999.1.1']])(
    '%s is not understood: all unknown',
    (version) => expect(states(version.slice(0, 6000))).toBe('????'),
  );
});
