import type { Capabilities } from '@millrace/shared/domain/capabilities';

/*
 * The capabilities of each generation of Gemini where they differ, from Google's migration guides up to 3.8: most
 * members that a model does not accept are a 400. A newer model is treated as one of the newest in this table.
 */

export const levels = ['minimal', 'low', 'medium', 'high'] as const;
export type Level = (typeof levels)[number];

export type ModelTraits = {
  /** How thinking is requested: never, with a budget of tokens, or with a level. */
  thinking: 'none' | 'budget' | 'level';
  /** The levels that it supports, from the lowest. */
  levels: readonly Level[];
  /** The lowest budget of tokens; 0 turns thinking off. */
  minBudget: number;
  /** It heeds `temperature`, `topP` and `topK`; newer models ignore them, and Google announces a 400. */
  sampling: boolean;
  /** A call in the conversation needs the signature of the thoughts before it. */
  signedCalls: boolean;
  /** The result of a function can have images and documents. */
  mediaInResults: boolean;
  /** It reads files at any public URL; older models only those of Google's Files API. */
  webUrls: boolean;
};

/** Other models of this API (Gemma): only what all of them accept. */
const foreign: ModelTraits = {
  thinking: 'none',
  levels: [],
  minBudget: 0,
  sampling: true,
  signedCalls: false,
  mediaInResults: false,
  webUrls: false,
};

export function traitsOf(model: string): ModelTraits {
  const gemini = parseGemini(model);
  if (!gemini) return foreign;
  const { version, isPro, isLite } = gemini;
  return {
    thinking: version < 205 ? 'none' : version < 300 ? 'budget' : 'level',
    levels: levelsOf(version, isPro),
    minBudget: isPro ? 128 : isLite ? 512 : 0,
    sampling: version < 306,
    signedCalls: version >= 300,
    mediaInResults: version >= 300,
    webUrls: version >= 205,
  };
}

/**
 * Of the models of Gemini that answer in text, and of those for embeddings. Others, for images, speech, live calls or robots, have
 * their purpose in their names.
 */
export function capabilitiesOf(model: string): Capabilities {
  if (embeddingModel.test(model)) return { serves: ['embeddings'] };
  const name = /^(?:models\/)?gemini-([\w.-]+)$/.exec(model.toLowerCase())?.[1];
  if (name === undefined || !textModel.test(name)) return {};
  const { thinking } = traitsOf(model);
  return {
    serves: ['chat'],
    input: ['text', 'image', 'audio', 'video', 'file'],
    output: ['text'],
    tools: true,
    structuredOutput: true,
    reasoning: thinking !== 'none',
  };
}

/** `gemini-embedding-001`, `text-embedding-005`, `text-multilingual-embedding-002`. */
const embeddingModel = /^(?:models\/)?(?:gemini|text|text-multilingual)-embedding-[\w.-]+$/;

/** `2.5-flash-lite`, `3-pro-preview`, `2.5-pro-preview-06-05`, `2.0-flash-001`. */
const textModel =
  /^(?:1\.5|[2-9](?:\.\d{1,2})?)-(?:pro|flash|flash-lite)(?:-(?:preview|exp|latest))?(?:-[\d-]+)?$/;

type Gemini = { version: number; isPro: boolean; isLite: boolean };

/** Parses `gemini-2.5-flash-lite`, `models/gemini-3-pro-preview`; the version is 205 or 300 here. */
function parseGemini(model: string): Gemini | undefined {
  const name = /(?:^|\/)gemini-(.+)$/.exec(model.toLowerCase())?.[1];
  if (name === undefined) return undefined;
  const [, major, minor = '0'] = /^(\d{1,2})(?:\.(\d{1,2}))?(?:-|$)/.exec(name) ?? [];
  return {
    // An alias of the newest model (`gemini-flash-latest`) has no version.
    version: major === undefined ? Infinity : Number(major) * 100 + Number(minor),
    isPro: /\bpro\b/.test(name),
    isLite: /\blite\b/.test(name),
  };
}

function levelsOf(version: number, isPro: boolean): readonly Level[] {
  if (isPro) return version < 301 ? ['low', 'high'] : ['low', 'medium', 'high'];
  return version < 307 ? levels : ['low', 'medium', 'high'];
}
