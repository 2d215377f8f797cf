/*
 * Providers whose keys are in the environment: a start without a config serves their models as `openai/*`, `anthropic/*` and so
 * on. Their variables are those of the vendors' own SDKs.
 */

type KnownProvider = {
  name: string;
  /** The first that is set counts. */
  keys: readonly string[];
  api?: 'anthropic' | 'gemini';
  baseUrl: string;
  /** The variable with which the vendor's SDKs override the base URL. */
  baseUrlFrom?: string;
  aggregator?: true;
};

const known: readonly KnownProvider[] = [
  {
    name: 'openai',
    keys: ['OPENAI_API_KEY'],
    baseUrl: 'https://api.openai.com/v1',
    baseUrlFrom: 'OPENAI_BASE_URL',
  },
  {
    name: 'anthropic',
    keys: ['ANTHROPIC_API_KEY'],
    api: 'anthropic',
    baseUrl: 'https://api.anthropic.com',
    baseUrlFrom: 'ANTHROPIC_BASE_URL',
  },
  {
    name: 'gemini',
    keys: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'],
    api: 'gemini',
    baseUrl: 'https://generativelanguage.googleapis.com',
    baseUrlFrom: 'GOOGLE_GEMINI_BASE_URL',
  },
  {
    name: 'openrouter',
    keys: ['OPENROUTER_API_KEY'],
    baseUrl: 'https://openrouter.ai/api/v1',
    aggregator: true,
  },
  { name: 'mistral', keys: ['MISTRAL_API_KEY'], baseUrl: 'https://api.mistral.ai/v1' },
  { name: 'groq', keys: ['GROQ_API_KEY'], baseUrl: 'https://api.groq.com/openai/v1' },
  { name: 'deepseek', keys: ['DEEPSEEK_API_KEY'], baseUrl: 'https://api.deepseek.com/v1' },
  { name: 'xai', keys: ['XAI_API_KEY'], baseUrl: 'https://api.x.ai/v1' },
  { name: 'together', keys: ['TOGETHER_API_KEY'], baseUrl: 'https://api.together.xyz/v1' },
  {
    name: 'fireworks',
    keys: ['FIREWORKS_API_KEY'],
    baseUrl: 'https://api.fireworks.ai/inference/v1',
  },
  { name: 'cerebras', keys: ['CEREBRAS_API_KEY'], baseUrl: 'https://api.cerebras.ai/v1' },
];

/** A provider of the environment; `key`: the name of the variable with its key, never the key. */
export type EnvironmentProvider = {
  name: string;
  key: string;
  api: string;
  baseUrl: string;
  aggregator: boolean;
};

export function environmentProviders(env: NodeJS.ProcessEnv): EnvironmentProvider[] {
  const isSet = (variable: string | undefined): variable is string =>
    variable !== undefined && (env[variable] ?? '').trim() !== '';
  return known.flatMap(
    ({ name, keys, api = 'openai', baseUrl, baseUrlFrom, aggregator = false }) => {
      const key = keys.find(isSet);
      if (key === undefined) return [];
      const from = isSet(baseUrlFrom) ? `\${${baseUrlFrom}}` : baseUrl;
      return [{ name, key, api, baseUrl: from, aggregator }];
    },
  );
}

/** Lines of the config's `providers`. Millrace asks a provider nothing before a client asks for one of its models. */
export const providerLines = (providers: readonly EnvironmentProvider[]): string[] =>
  providers.flatMap(({ name, key, api, baseUrl, aggregator }) => [
    `  ${name}:`,
    `    api: ${api}`,
    `    baseUrl: '${baseUrl}'`,
    `    apiKey: '\${${key}}'`,
    ...(aggregator ? ['    aggregator: true'] : []),
    '    pool: { warm: 0 }',
    "    check: { kind: 'off' }",
  ]);

/** Lines of the config's `models`. */
export const wildcardLines = (providers: readonly EnvironmentProvider[]): string[] =>
  providers.map(({ name }) => `  '${name}/*': { targets: [{ provider: ${name}, model: '*' }] }`);
