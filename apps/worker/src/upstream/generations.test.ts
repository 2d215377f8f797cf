import type { ModelConfig, ProviderConfig } from '@millrace/shared/config';
import { expect, test } from 'vitest';
import { createGenerations } from './generations.ts';
import type { Generation } from './generations.ts';
import type { Pool } from './pool/pool.ts';

const poolNamed = (name: string) => ({ name }) as unknown as Pool;

/** A config with these models, each at the provider of its value; providers have a pool each. */
function generationOf(models: Record<string, string>, pools: Record<string, Pool>): Generation {
  return {
    models: models as unknown as Record<string, ModelConfig>,
    providers: pools as unknown as Record<string, ProviderConfig>,
    pools: new Map(Object.entries(pools)),
    rings: new Map(),
  };
}

const job = (model: string, ...providers: string[]) => ({
  model,
  targets: providers.map((provider) => ({ provider, model: 'x' })),
});

function setUp(first: Generation, keptMs = 1000) {
  const closed: unknown[] = [];
  const clock = { time: 0 };
  const generations = createGenerations({
    first,
    keptMs,
    onUnused: (pool) => closed.push((pool as unknown as { name: string }).name),
    now: () => clock.time,
  });
  return { generations, closed, clock };
}

const [a, b] = [poolNamed('a'), poolNamed('b')];
const old = generationOf({ m: 'a', gone: 'a' }, { a });
const fresh = generationOf({ m: 'b' }, { b });

test('a run keeps the generation that it began with; later runs get the next one', () => {
  const { generations } = setUp(old);
  const run = generations.begin(job('m', 'a'));
  generations.advance(fresh);
  expect(run.generation).toBe(old);
  expect(generations.current).toBe(fresh);
  expect(generations.begin(job('m', 'b')).generation).toBe(fresh);
});

test('a pool closes when no run needs it and no waiting request can, and not before', () => {
  const { generations, closed, clock } = setUp(old);
  const run = generations.begin(job('gone', 'a'));
  generations.advance(fresh);
  clock.time = 999;
  generations.begin(job('m', 'b')).end();
  expect(closed).toEqual([]);
  // The request may have waited that long, and its run may take any time.
  clock.time = 5000;
  generations.advance(generationOf({ m: 'b' }, { b }));
  expect(closed).toEqual([]);
  run.end();
  expect(closed).toEqual(['a']);
});

test('a pool that the next generation has, too, stays open', () => {
  const { generations, closed, clock } = setUp(old);
  const run = generations.begin(job('m', 'a'));
  generations.advance(generationOf({ m: 'a' }, { a, b }));
  clock.time = 5000;
  run.end();
  expect(closed).toEqual([]);
});

test('a request that waited while its model or its provider was removed has its run in the generation before', () => {
  const { generations } = setUp(old);
  generations.advance(fresh);
  expect(generations.begin(job('gone', 'a')).generation).toBe(old);
  expect(generations.begin(job('m', 'a')).generation).toBe(old);
  expect(generations.begin(job('m', 'a', 'b')).generation).toBe(fresh);
});

test('a request of a model that no generation has gets the present one', () => {
  const { generations } = setUp(old);
  generations.advance(fresh);
  expect(generations.begin(job('never', 'a')).generation).toBe(fresh);
  expect([generations.knows(job('never', 'b')), generations.knows(job('m', 'b'))]).toEqual([
    false,
    true,
  ]);
  expect(generations.knows(job('m', 'a', 'b'))).toBe(false);
});

test('of many reloads a few generations without runs are kept', () => {
  const { generations, closed } = setUp(old);
  for (let i = 1; i <= 20; i += 1) {
    const name = `pool ${i}`;
    generations.advance(generationOf({ [`m${i}`]: name }, { [name]: poolNamed(name) }));
  }
  expect(closed).toHaveLength(12);
  expect(generations.begin(job('gone', 'a')).generation).toBe(generations.current);
  expect(generations.begin(job('m15', 'pool 15')).generation).not.toBe(generations.current);
});
