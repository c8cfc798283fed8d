import { describe, expect, it } from 'vitest';

import { encodeQuery, framed, isResponse, readAnswer } from '../../../src/util/dns-message.ts';

const QUERY = encodeQuery(0x1234, 'kubernetes.default.svc.cluster.local.', 'AAAA');

function answer(change: (message: Buffer) => void = () => {}): Buffer {
  const message = Buffer.concat([QUERY, Buffer.alloc(20)]);
  message.writeUInt16BE(0x8580, 2);
  message.writeUInt16BE(1, 6);
  change(message);
  return message;
}

describe('DNS messages', () => {
  it('asks as libc does: recursion desired, one question, no EDNS', () => {
    expect(QUERY.toString('hex')).toBe(
      '12340100000100000000000' +
        '00a6b756265726e657465730764656661756c740373766307636c7573746572056c6f63616c00001c0001',
    );
  });

  it('go over TCP with their length before them', () => {
    expect(framed(QUERY).subarray(0, 6).toString('hex')).toBe('003612340100');
    expect(framed(QUERY).subarray(2)).toEqual(QUERY);
  });

  it.each<[string, Buffer, boolean]>([
    ['an answer', answer(), true],
    ['a refusal without the question', Buffer.from([0x12, 0x34, 0x80, 0x05]), true],
    ['another id', answer((message) => message.writeUInt16BE(1, 0)), false],
    ['the question itself', QUERY, false],
    ['too short', answer().subarray(0, 3), false],
  ])('responses: %s', (_, message, expected) => {
    expect(isResponse(message, QUERY)).toBe(expected);
  });

  it.each<[string, Buffer, object | undefined]>([
    ['an answer', answer(), { code: 'NOERROR', answers: 1 }],
    ['NXDOMAIN', answer((message) => message.writeUInt16BE(0x8583, 2)), { code: 'NXDOMAIN', answers: 1 }],
    ['an RCODE without a name here', answer((message) => message.writeUInt16BE(0x858f, 2)), { code: '15' }],
    ['another id', answer((message) => message.writeUInt16BE(1, 0)), undefined],
    ['the question itself', QUERY, undefined],
    ['another name', answer((message) => message.write('x', 13)), undefined],
    ['another type', answer((message) => message.writeUInt16BE(1, QUERY.length - 4)), undefined],
    ['the name in other letters', answer((message) => message.write('K', 13)), { code: 'NOERROR' }],
    ['two questions', answer((message) => message.writeUInt16BE(2, 4)), undefined],
    ['nothing', Buffer.alloc(0), undefined],
    ['too short', answer().subarray(0, QUERY.length - 1), undefined],
  ])('answers: %s', (_, message, expected) => {
    const read = readAnswer(message, QUERY);
    if (expected === undefined) expect(read).toBeUndefined();
    else expect(read).toMatchObject(expected);
  });
});
