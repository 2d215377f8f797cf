import { expect, test } from 'vitest';
import { createConnectionCounts } from './connection-counts.ts';

const limits = { connectionsPerKey: 2, connectionsPerAddress: 3 };
const open = (count: number, counts = createConnectionCounts(limits), address = 'here') => {
  const connections = Array.from({ length: count }, () => ({}));
  const outcomes = connections.map((one) => counts.opened(one, address));
  return { counts, connections: connections as [object, ...object[]], outcomes };
};

/** Connections of a proxy, whose clients are told by their requests. */
function openProxied(count: number) {
  const counts = createConnectionCounts(limits);
  const connections = Array.from({ length: count }, () => ({}));
  const outcomes = connections.map((one) => counts.opened(one, undefined));
  return { counts, connections: connections as [object, ...object[]], outcomes };
}

test('an address has connections up to its limit', () => {
  const { counts, connections } = open(4);
  const answers = connections.map((one) => counts.admitAddress(one, 'here'));
  expect(answers).toEqual(['admitted', 'admitted', 'admitted', 'refused']);
  const [other] = open(1, counts, 'there').connections;
  expect(counts.admitAddress(other, 'there')).toBe('admitted');
});

test('all addresses of an IPv6 client share one limit, and IPv4 over IPv6 counts as IPv4', () => {
  const { counts } = open(2, createConnectionCounts(limits), '2001:db8::1');
  const [last, excess] = ['2001:db8::2', '2001:db8::3'].map((address) => {
    const [one] = open(1, counts, address).connections;
    return counts.admitAddress(one, address);
  });
  expect([last, excess]).toEqual(['admitted', 'refused']);
  open(2, counts, '192.0.2.1');
  open(2, counts, '::ffff:192.0.2.1');
  expect(counts.most.address).toBe(4);
  const { connections, counts: proxied } = openProxied(4);
  const ask = (one: object, i: number) => proxied.admitAddress(one, `2001:db8::${i}`);
  expect(connections.map(ask)).toEqual(['counted', 'counted', 'counted', 'refused']);
  proxied.served(connections[0], '2001:db8::0');
  expect(ask(connections[3] ?? {}, 9)).toBe('counted');
});

test('a key has connections up to its limit, and any number of requests on them', () => {
  const { counts, connections } = open(3);
  const ask = () => connections.map((one) => counts.admitKey(one, 'key'));
  expect(ask()).toEqual(['admitted', 'admitted', 'refused']);
  expect(ask()).toEqual(['admitted', 'admitted', 'refused']);
  expect(counts.admitKey(connections[2] ?? {}, 'another')).toBe('admitted');
  expect(counts.admitKey(connections[0], 'another')).toBe('admitted');
  expect(counts.most).toEqual({ address: 3, key: 2 });
});

test('a connection that closes makes room for one other', () => {
  const { counts, connections } = open(3);
  for (const one of connections) counts.admitKey(one, 'key');
  counts.closed(connections[0]);
  counts.closed(connections[0]);
  expect(counts.admitKey(connections[2] ?? {}, 'key')).toBe('admitted');
  const [next, excess] = open(2, counts).connections;
  expect(counts.admitKey(next, 'key')).toBe('refused');
  expect(counts.admitAddress(next, 'here')).toBe('admitted');
  expect(counts.admitAddress(excess ?? {}, 'here')).toBe('refused');
});

test('an address far above its limit gets no more answers', () => {
  const { outcomes } = open(3 + 64 + 1);
  expect(outcomes.indexOf('unheard')).toBe(3 + 64);
});

test('through a proxy, each client has connections up to its own limit', () => {
  const { counts, connections } = openProxied(5);
  const answers = connections.map((one) => counts.admitAddress(one, 'client'));
  expect(answers).toEqual(['counted', 'counted', 'counted', 'refused', 'refused']);
  expect(counts.admitAddress(connections[3] ?? {}, 'other')).toBe('counted');
  expect(counts.most.address).toBe(3);
});

test('through a proxy, a connection counts for a client while its request is under way', () => {
  const { counts, connections } = openProxied(4);
  for (const one of connections) counts.admitAddress(one, 'client');
  const last = connections[3] ?? {};
  // It was refused, and takes nothing from those that were not.
  counts.served(last, 'client');
  expect(counts.admitAddress(last, 'client')).toBe('refused');
  counts.served(connections[0], 'client');
  counts.served(connections[0], 'client');
  expect(counts.admitAddress(last, 'client')).toBe('counted');
  expect(counts.admitAddress(connections[0], 'client')).toBe('refused');
  counts.closed(last);
  expect(counts.admitAddress(connections[0], 'client')).toBe('counted');
});

test('the connections of a proxy itself are not bounded', () => {
  const { outcomes } = openProxied(3 + 64 + 1);
  expect(new Set(outcomes)).toEqual(new Set(['counted']));
});

test('the counts keep nothing of closed connections', () => {
  for (const { counts, connections } of [open(3), openProxied(3)]) {
    for (const one of connections) {
      counts.admitAddress(one, 'here');
      counts.admitKey(one, 'key');
    }
    for (const one of connections) counts.closed(one);
    expect(counts.most).toEqual({ address: 0, key: 0 });
  }
});
