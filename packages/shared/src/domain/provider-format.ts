/** The wire formats that a provider can speak, by the names that the config's `api` has for them. */
export const providerFormats = ['openai', 'anthropic'] as const;

export type ProviderFormat = (typeof providerFormats)[number];
