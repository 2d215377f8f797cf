/** The wire formats of providers, by their names in the config's `api`. */
export const providerApis = ['openai', 'anthropic', 'openai-responses', 'gemini'] as const;

export type ProviderApi = (typeof providerApis)[number];
