import { expect, test } from 'vitest';
import { createConnectionCounts } from './connection-counts.ts';

const limits = { connectionsPerKey: 2, connectionsPerAddress: 3 };
const open = (count: number, counts = createConnectionCounts(limits), address = 'here') => {
  const connections = Array.from({ length: count }, () => ({}));
  const outcomes = connections.map((one) => counts.opened(one, address));
  return { counts, connections: connections as [object, ...object[]], outcomes };
};

test('an address has as many connections as it may, whatever their keys', () => {
  const { counts, connections } = open(4);
  const answers = connections.map((one, i) => counts.admit(one, `key-${i}`));
  expect(answers).toEqual(['admitted', 'admitted', 'admitted', 'address']);
  const [other] = open(1, counts, 'there').connections;
  expect(counts.admit(other, undefined)).toBe('admitted');
});

test('a key has as many connections as it may, and any number of requests on them', () => {
  const { counts, connections } = open(3);
  const ask = () => connections.map((one) => counts.admit(one, 'key'));
  expect(ask()).toEqual(['admitted', 'admitted', 'key']);
  expect(ask()).toEqual(['admitted', 'admitted', 'key']);
  expect(counts.admit(connections[2] ?? {}, 'another')).toBe('admitted');
  expect(counts.admit(connections[0], 'another')).toBe('admitted');
  expect(counts.most).toEqual({ address: 3, key: 2 });
});

test('a connection that closes makes room, once', () => {
  const { counts, connections } = open(3);
  for (const one of connections) counts.admit(one, 'key');
  counts.closed(connections[0]);
  counts.closed(connections[0]);
  expect(counts.admit(connections[2] ?? {}, 'key')).toBe('admitted');
  const [next, excess] = open(2, counts).connections;
  expect(counts.admit(next, 'key')).toBe('key');
  expect(counts.admit(excess ?? {}, 'another')).toBe('address');
});

test('an address with far too many is not heard any more', () => {
  const { outcomes } = open(3 + 64 + 1);
  expect(outcomes.indexOf('unheard')).toBe(3 + 64);
});

test('nothing is kept of connections that are gone', () => {
  const { counts, connections } = open(3);
  for (const one of connections) counts.admit(one, 'key');
  for (const one of connections) counts.closed(one);
  expect(counts.most).toEqual({ address: 0, key: 0 });
});
