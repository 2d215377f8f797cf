import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@millrace/shared/config';
import { afterAll, expect, it } from 'vitest';
import { environmentProviders } from './environment-providers.ts';
import { writeOwnConfig } from './own-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-own-config-'));
const file = join(folder, 'config.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const read = (env: NodeJS.ProcessEnv) => {
  writeOwnConfig(file, environmentProviders(env));
  const { config, options } = loadConfig({ argv: ['--config', file], env, role: 'start' });
  return { text: readFileSync(file, 'utf8'), config, options };
};

it('without keys the config has the simulated models only', () => {
  const { config, options } = read({ OPENAI_API_KEY: '' });
  expect(Object.keys(config.providers)).toEqual(['simulated', 'simulated-backup']);
  expect(options.simulated).toHaveLength(2);
});

it('each key of a known provider makes its models available, and the text has no value of a variable', () => {
  const env = Object.fromEntries(
    ['OPENAI', 'ANTHROPIC', 'GOOGLE', 'OPENROUTER', 'MISTRAL', 'GROQ', 'DEEPSEEK', 'XAI']
      .concat('TOGETHER', 'FIREWORKS', 'CEREBRAS')
      .map((name) => [`${name}_API_KEY`, `secret-of-${name.toLowerCase()}`]),
  );
  const { config, text } = read({ ...env, ANTHROPIC_BASE_URL: 'http://127.0.0.1:8/path/' });
  const real = Object.entries(config.providers).filter(([, { simulated }]) => !simulated);
  expect(real).toHaveLength(11);
  for (const [name, { apiKeys, check, pool }] of real) {
    expect(config.models[`${name}/*`]?.targets).toMatchObject([{ provider: name, model: '*' }]);
    expect(apiKeys).toEqual([`secret-of-${name === 'gemini' ? 'google' : name}`]);
    expect([check.kind, pool.warm]).toEqual(['off', 0]);
  }
  expect(config.providers['anthropic']).toMatchObject({
    api: 'anthropic',
    baseUrl: 'http://127.0.0.1:8/path',
  });
  expect(config.providers['gemini']?.api).toBe('gemini');
  expect(text).not.toMatch(/secret-of|127\.0\.0\.1:8/);
});
