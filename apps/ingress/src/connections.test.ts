import { expect, test } from 'vitest';
import { createConnections } from './connections.ts';

test('one connection that cannot be cut does not keep the others', () => {
  const errors: unknown[] = [];
  const connections = createConnections((error) => errors.push(error));
  const cut: string[] = [];
  connections.add(() => {
    throw new Error('headers were sent');
  });
  connections.add(() => cut.push('second'));
  connections.cutAll();
  expect(cut).toEqual(['second']);
  expect(errors).toHaveLength(1);
});

test('a drain waits for the last connection, or for its signal', async () => {
  const connections = createConnections(() => {});
  const one = connections.add(() => {});
  expect(await connections.settled(AbortSignal.abort())).toBe(false);
  const settled = connections.settled(new AbortController().signal);
  one.remove();
  expect(await settled).toBe(true);
});

test('an answer is waited for like a connection, and cut behind all of them', async () => {
  const connections = createConnections(() => {});
  const cut: string[] = [];
  const answer = connections.addAnswer(
    () => cut.push('answer'),
    () => {},
  );
  const one = connections.add(() => cut.push('connection'));
  const settled = connections.settled(new AbortController().signal);
  connections.cutAll();
  expect(cut).toEqual(['connection', 'answer']);
  one.remove();
  expect(connections.size).toBe(0);
  expect(await connections.settled(AbortSignal.abort())).toBe(false);
  answer.remove();
  expect(await settled).toBe(true);
});
