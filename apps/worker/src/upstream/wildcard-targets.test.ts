import type { ModelConfig } from '@millrace/shared/config';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import { expect, it } from 'vitest';
import { createWildcardTargets, mostKept } from './wildcard-targets.ts';

const at = (model: string): Target => ({ provider: 'p', model });

function setUp(names: Record<string, string> = { 'p/*': '*', exact: 'exact' }) {
  const models = Object.fromEntries(
    Object.entries(names).map(([alias, model]) => [
      alias,
      { targets: [at(model)] } as unknown as ModelConfig,
    ]),
  );
  const kept: string[] = [];
  const targets = createWildcardTargets({
    models: () => models,
    onKept: (target) => kept.push(targetKey(target)),
  });
  return { targets, kept };
}

it('names share the state of their wildcard until the provider has answered for them', () => {
  const { targets, kept } = setUp();
  expect(targets.keeperOf(at('one'))).toEqual(at('*'));
  targets.answered(at('one'));
  targets.answered(at('one'));
  expect(targets.keeperOf(at('one'))).toEqual(at('one'));
  expect(targets.keeperOf(at('two'))).toEqual(at('*'));
  expect(targets.wildcardOf(at('one'))).toEqual(at('*'));
  expect(kept).toEqual(['p/one']);
});

it('targets that the config names keep their own state', () => {
  const { targets, kept } = setUp();
  targets.answered(at('exact'));
  expect(targets.keeperOf(at('exact'))).toEqual(at('exact'));
  expect(targets.wildcardOf(at('exact'))).toBeUndefined();
  expect(targets.keeperOf({ provider: 'q', model: 'x' })).toEqual({ provider: 'q', model: 'x' });
  expect(kept).toEqual([]);
});

it('a provider that has any number of models does not make any number of states', () => {
  const { targets, kept } = setUp();
  for (let n = 0; n < 10 * mostKept; n++) targets.answered(at(`model-${n}`));
  expect(kept).toHaveLength(mostKept);
  expect(targets.keeperOf(at('model-0'))).toEqual(at('model-0'));
  expect(targets.keeperOf(at(`model-${mostKept}`))).toEqual(at('*'));
});
