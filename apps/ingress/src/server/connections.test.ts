import { expect, test } from 'vitest';
import { createConnections } from './connections.ts';

test('a connection that cannot be cut does not keep a drain from the others', async () => {
  const errors: unknown[] = [];
  const connections = createConnections((error) => errors.push(error));
  const cut: string[] = [];
  connections.add(() => {
    throw new Error('headers were sent');
  });
  connections.add(() => Promise.reject(new Error('Redis is away')));
  connections.add(() => void cut.push('third'));
  await connections.cutAll();
  expect(cut).toEqual(['third']);
  expect(errors).toHaveLength(2);
});

test('a drain waits for the last connection, or for its signal', async () => {
  const connections = createConnections(() => {});
  const one = connections.add(() => {});
  expect(await connections.settled(AbortSignal.abort())).toBe(false);
  const settled = connections.settled(new AbortController().signal);
  one.remove();
  expect(await settled).toBe(true);
});

test('a drain waits for an answer as for a connection, and cuts answers behind all connections', async () => {
  const connections = createConnections(() => {});
  const cut: string[] = [];
  const answer = connections.addAnswer(
    () => cut.push('answer'),
    () => {},
  );
  const one = connections.add(async () => {
    await Promise.resolve();
    cut.push('connection');
  });
  const settled = connections.settled(new AbortController().signal);
  await connections.cutAll();
  expect(cut).toEqual(['connection', 'answer']);
  one.remove();
  expect(connections.size).toBe(0);
  expect(await connections.settled(AbortSignal.abort())).toBe(false);
  answer.remove();
  expect(await settled).toBe(true);
});
