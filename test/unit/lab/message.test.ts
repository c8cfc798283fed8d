import { describe, expect, it } from 'vitest';
import { answerTo, readQuestion, TYPE_A, TYPE_AAAA } from '../../lab/dns/message.ts';
import { dnsQuery } from './packets.ts';

describe('a DNS message', () => {
  it('says what it asks', () => {
    const query = dnsQuery({ id: 0xabcd, name: 'web.shop.svc.cluster.local', type: TYPE_AAAA });
    expect(readQuestion(query)).toEqual({
      id: 0xabcd,
      response: false,
      code: 0,
      name: 'web.shop.svc.cluster.local',
      type: TYPE_AAAA,
    });
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a header cut short', Buffer.alloc(11)],
    ['no question', Buffer.alloc(12)],
    [
      'a name that goes on behind the end',
      Buffer.concat([dnsQuery({ name: 'a' }).subarray(0, 12), Buffer.from([63, 97])]),
    ],
    [
      'a compressed name',
      Buffer.concat([dnsQuery({ name: 'a' }).subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
    ],
    ['no type behind the name', dnsQuery({ name: 'a' }).subarray(0, 16)],
  ])('%s is no message with one question', (_, bytes) => {
    expect(readQuestion(bytes)).toBeUndefined();
    expect(answerTo(bytes)).toBeUndefined();
  });
});

describe('the lab’s DNS server', () => {
  it.each([
    { name: 'web.shop.svc.cluster.local', type: TYPE_A, code: 0, ends: 'c0000201' },
    { name: 'WEB.infra.svc.Cluster.local', type: TYPE_A, code: 0, ends: 'c0000201' },
    { name: 'www.lab.example', type: TYPE_AAAA, code: 0, ends: '20010db8000000000000000000000001' },
    { name: 'web.infra.shop.svc.cluster.local', type: TYPE_A, code: 3, ends: '00010001' },
    { name: 'www.lab.example.cluster.local', type: TYPE_A, code: 3, ends: '00010001' },
    { name: 'www.lab.example', type: 16, code: 0, ends: '00100001' },
  ])('answers $name, type $type, with code $code', ({ name, type, code, ends }) => {
    const answer = answerTo(dnsQuery({ id: 7, name, type }));
    expect(readQuestion(answer ?? Buffer.alloc(0))).toEqual({ id: 7, response: true, code, name, type });
    expect(answer?.toString('hex')).toMatch(new RegExp(`${ends}$`));
  });

  it('does not answer answers', () => {
    const answer = answerTo(dnsQuery({ name: 'www.lab.example' })) ?? Buffer.alloc(0);
    expect(answerTo(answer)).toBeUndefined();
  });
});
