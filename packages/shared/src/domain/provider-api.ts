/** The wire formats that a provider can speak, by the names that the config's `api` has for them. */
export const providerApis = ['openai', 'anthropic'] as const;

export type ProviderApi = (typeof providerApis)[number];
