import { describe, expect, it } from 'vitest';
import { continuationScopes } from '@millrace/shared/domain/request';
import type { ContinuationScope } from '@millrace/shared/domain/request';
import { ended, fault, historyOf, said, started } from './history.fixture.ts';
import { backup, decide, primary, stepsOf, third } from './plan.fixture.ts';
import { mayContinue } from './scope.ts';

const at = (text: string) => {
  const slash = text.indexOf('/');
  return { provider: text.slice(0, slash), model: text.slice(slash + 1) };
};

describe('a target', () => {
  it.each([
    ['openai/gpt-4o', 'azure/gpt-4o', true, true],
    ['openai/gpt-4o', 'openrouter/openai/gpt-4o', true, true],
    ['openai/gpt-4o', 'openai/gpt-4o-2024-08-06', true, true],
    [
      'anthropic/claude-sonnet-4-5',
      'bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0',
      true,
      true,
    ],
    ['anthropic/claude-sonnet-4-5', 'vertex/claude-sonnet-4-5@20250929', true, true],
    ['anthropic/claude-sonnet-4-5', 'openrouter/anthropic/claude-sonnet-4.5', true, true],
    ['openrouter/deepseek/deepseek-r1:free', 'deepseek/deepseek-r1', true, true],
    ['openai/gpt-4o', 'openai/gpt-4o-mini', false, true],
    ['openai/gpt-4o', 'azure/o3', false, true],
    ['openai/gpt-4o', 'openrouter/anthropic/claude-sonnet-4.5', false, false],
    ['groq/llama-3.3-70b-versatile', 'together/meta-llama/Llama-3.1-8B', false, true],
    ['ollama/llama3.1:8b', 'ollama/llama3.1:70b', false, true],
    ['groq/llama3-70b-8192', 'groq/llama-3.3-70b-versatile', false, true],
    ['openai/ft:gpt-4o:org::abc', 'openai/ft:gpt-4o:org::xyz', false, true],
    ['openai/ft:gpt-4o:org::abc', 'openai/gpt-4o', false, true],
    ['local/our-model', 'local/our-other-model', false, true],
    ['local/our-model', 'local/gpt-4o', false, false],
    ['local/our-model', 'other/our-other-model', false, false],
  ])('%s and %s: the same model %s, the same vendor %s', (one, other, isModel, isVendor) => {
    for (const [source, target] of [
      [at(one), at(other)],
      [at(other), at(one)],
    ] as const) {
      expect(mayContinue('same-model', source, target)).toBe(isModel);
      expect(mayContinue('same-vendor', source, target)).toBe(isVendor);
      expect(mayContinue('any', source, target)).toBe(true);
    }
  });

  it('may always continue what it has begun itself, and a wider scope allows what a narrower one does', () => {
    const names = [
      'gpt-4o',
      'openai/gpt-4o',
      'claude-x',
      'our-model',
      'x/*',
      'GPT-4O-latest',
      '',
      ':',
    ];
    const targets = ['p', 'q'].flatMap((provider) => names.map((model) => ({ provider, model })));
    const allowed = (scope: ContinuationScope) =>
      targets.map((source) => targets.map((target) => mayContinue(scope, source, target)));
    const [model, vendor] = [allowed('same-model'), allowed('same-vendor')];
    expect(targets.every((_, at) => model[at]?.[at])).toBe(true);
    expect(allowed('any').flat()).not.toContain(false);
    const isWider = model.map((row, at) => row.every((is, to) => !is || vendor[at]?.[to] === true));
    expect(isWider).not.toContain(false);
    expect(continuationScopes).toEqual(['any', 'same-vendor', 'same-model']);
  });
});

describe('after a part of the answer was delivered', () => {
  const long = 'It was shown already, and it is long enough to be found again by its last words.';
  const history = () => historyOf(started(1, primary), said(long), ended(1, 'upstream_reset'));
  const twin = { ...third, model: 'openai/gpt-4o' };
  const situation = {
    history: history(),
    fault: fault('upstream_reset'),
    routes: [primary, backup, twin],
  };

  it('only targets of the scope continue it', () => {
    const rest = [
      'no_continuation',
      'no_continuation',
      'no_continuation',
      'no_continuation',
    ] as const;
    const targetsOf = (scope: 'any' | 'same-model' | 'same-vendor') =>
      new Set(stepsOf({ ...situation, scope }, [...rest]).map((step) => step.split(' ')[0]));
    expect(targetsOf('any')).toContain('backup');
    expect(targetsOf('same-model')).not.toContain('backup');
    expect(targetsOf('same-model')).toContain('third');
    expect(targetsOf('same-vendor')).not.toContain('backup');
  });

  it('a plain reader gets a clear end if none is left, and a native one a fresh answer of any target', () => {
    const alone = { ...situation, routes: [backup], scope: 'same-model' as const };
    expect(decide(alone)).toMatchObject({
      kind: 'fail',
      failed: { error: { code: 'upstream_failed_mid_stream' } },
    });
    expect(decide({ ...alone, reader: 'native' })).toMatchObject({
      mode: 'restart',
      route: backup,
    });
  });

  it('before that, any target may answer', () => {
    const nothing = historyOf(started(1, primary), ended(1, 'upstream_reset'));
    const step = decide({ ...situation, history: nothing, routes: [backup], scope: 'same-model' });
    expect(step).toMatchObject({ mode: 'start', route: backup });
  });
});
