import type { Config } from '@millrace/shared/config';
import { serveModel } from '@millrace/shared/domain/model-names';
import { expect, test } from 'vitest';
import { createContextWindows } from './context-window.ts';

test('the context window of a model is the smallest of its targets, if all of them are known', async () => {
  const at = (baseUrl: string, simulated = false) => ({ baseUrl, simulated });
  const providers = {
    openai: at('https://api.openai.com/v1'),
    anthropic: at('https://api.anthropic.com'),
    own: at('http://10.0.0.1/v1'),
    simulated: at('https://api.openai.com/v1', true),
  };
  const targets = (...all: [provider: string, model: string][]) => ({
    targets: all.map(([provider, model]) => ({ provider, model })),
  });
  const models = {
    one: targets(['openai', 'gpt-4o']),
    two: targets(['anthropic', 'claude-sonnet-4-5'], ['openai', 'gpt-4o']),
    unknown: targets(['openai', 'gpt-4o'], ['own', 'gpt-4o']),
    unheard: targets(['openai', 'no-such-model']),
    simulated: targets(['simulated', 'gpt-4o']),
    'openai/*': targets(['openai', '*']),
  } as unknown as Config['models'];
  const windows = createContextWindows({ providers } as unknown as Config, (error) => {
    throw error;
  });
  const of = (name: string) => {
    const served = serveModel(models, name);
    return served && windows.of(served);
  };
  expect(windows.load([models['simulated']].filter((one) => one !== undefined))).toBeUndefined();
  await windows.load(Object.values(models));
  expect(Object.fromEntries(Object.keys(models).map((name) => [name, of(name)]))).toEqual({
    one: 128_000,
    two: 128_000,
    unknown: undefined,
    unheard: undefined,
    simulated: undefined,
    'openai/*': undefined,
  });
  expect(of('openai/gpt-4o')).toBe(128_000);
});
