import { BlockList } from 'node:net';

import fc from 'fast-check';
import { expect, it, test } from 'vitest';

import { contains, overlaps, parseBlock } from '../../../../src/exposure/policies/ip-block.ts';

test.each([
  '10.96.0.10',
  '0.0.0.0/0',
  'fd00::/8',
  '::',
  '::1/128',
  '2001:db8::1:2',
  '::ffff:10.0.0.1',
  '1:2:3:4:5:6:7:8',
])('reads %s', (text) => {
  expect(parseBlock(text)).toBeDefined();
});

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  '10.0.0.1/33',
  '10.0.0.1/',
  '10.0.0.0/8/8',
  '::/129',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '12345::',
  '1.2.3.4::',
  'fe80::1%eth0',
  'x',
  7,
  null,
  {},
])('%j is no block', (text) => {
  expect(parseBlock(text)).toBeUndefined();
});

it.each(['v4', 'v6'] as const)('a block holds the addresses that Node’s own list holds: %s', (family) => {
  const address = family === 'v4' ? fc.ipV4() : fc.ipV6();
  const most = family === 'v4' ? 32 : 128;
  fc.assert(
    fc.property(address, fc.integer({ min: 0, max: most }), address, (network, prefix, one) => {
      const block = parseBlock(`${network}/${prefix}`);
      const inner = parseBlock(one);
      const list = new BlockList();
      list.addSubnet(network, prefix, family === 'v4' ? 'ipv4' : 'ipv6');
      const expected = list.check(one, family === 'v4' ? 'ipv4' : 'ipv6');
      expect(block && inner && contains(block, inner)).toBe(expected);
      expect(block && inner && overlaps(block, inner)).toBe(expected);
    }),
  );
});
