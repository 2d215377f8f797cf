import { expect, it } from 'vitest';
import { createResponseMemory } from './memory.ts';

const open = (bodies = { held: 0 }) => ({
  bodies,
  memory: createResponseMemory(bodies, { requestBodiesBytes: 100, requestBodyBytes: 30 }),
});
const input = (bytes: number) => ({ input: 'x'.repeat(bytes), isWarmUp: false });

it('has the newest response of each lane, and gives back what it held', () => {
  const { bodies, memory } = open();
  memory.keep('a', 'r1', input(10));
  memory.keep('a', 'r2', { input: 'ü', isWarmUp: true });
  memory.keep('b', 'r3', input(5));
  expect(memory.find('r1')).toBeUndefined();
  expect(memory.find('r2')).toEqual({ input: 'ü', isWarmUp: true });
  expect(bodies.held).toBe(7);
  memory.forget('r2');
  expect([memory.has('a'), memory.has('b'), bodies.held]).toEqual([false, true, 5]);
  memory.clear();
  expect(bodies.held).toBe(0);
});

it('takes no more than one body, and the oldest give way', () => {
  const { bodies, memory } = open();
  memory.keep('a', 'r1', input(15));
  memory.keep('b', 'r2', input(15));
  memory.keep('c', 'r3', input(10));
  expect(['r1', 'r2', 'r3'].map((id) => memory.find(id) !== undefined)).toEqual([
    false,
    true,
    true,
  ]);
  memory.keep('d', 'r4', input(31));
  expect(memory.find('r4')).toBeUndefined();
  expect(bodies.held).toBe(25);
});

it('leaves half of the memory for bodies to requests', () => {
  const bodies = { held: 0 };
  const ids = ['r1', 'r2', 'r3'];
  const memories = ids.map((id) => {
    const { memory } = open(bodies);
    memory.keep('a', id, input(20));
    return memory.find(id) !== undefined;
  });
  expect(memories).toEqual([true, true, false]);
  expect(bodies.held).toBe(40);
});
