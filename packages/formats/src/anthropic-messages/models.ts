import type { Capabilities } from '@millrace/shared/domain/capabilities';

/*
 * The capabilities of each generation of Claude where they differ: a member that a model does not accept is a
 * 400. From Anthropic's migration guides up to the 5.5 models; a newer model is treated as one of the newest
 * in this table.
 */

export const efforts = ['low', 'medium', 'high', 'xhigh', 'max'] as const;
export type Effort = (typeof efforts)[number];

export type ModelTraits = {
  /** The most tokens of one answer; undefined for a model that is not Claude. */
  maxTokens: number | undefined;
  /** Continues a trailing assistant message; the others answer one with a 400. */
  prefill: boolean;
  /** Which of `temperature` and `top_p` it accepts: both, one of them, or (with `top_k`) none. */
  sampling: 'both' | 'one' | 'none';
  /** How thinking is requested: never, with a budget of tokens, or with an effort. */
  thinking: 'none' | 'budget' | 'adaptive';
  /** The efforts that it supports, from the lowest. */
  efforts: readonly Effort[];
  /** How thinking is turned off: by omission, by a `thinking.type` of this name, or not possible. */
  thinkingOff: 'unasked' | 'disabled' | 'between_tools' | 'never';
  /** Supports forcing a tool call. */
  forcedTools: boolean;
  /** Supports `output_config.format` and `strict` tools. */
  structured: boolean;
};

/** Other providers with Anthropic's format: only what all their models accept. */
const foreign: ModelTraits = {
  maxTokens: undefined,
  prefill: false,
  sampling: 'both',
  thinking: 'budget',
  efforts: [],
  thinkingOff: 'unasked',
  forcedTools: true,
  structured: false,
};

export function traitsOf(model: string): ModelTraits {
  const claude = parseClaude(model);
  if (!claude) return foreign;
  const { family, version } = claude;
  return {
    maxTokens: maxTokensOf(family, version),
    prefill: version < 406,
    sampling: version < 401 ? 'both' : version < 407 ? 'one' : 'none',
    thinking: version < 307 ? 'none' : version < 406 ? 'budget' : 'adaptive',
    efforts: effortsOf(version),
    thinkingOff: thinkingOffOf(family, version),
    forcedTools: canForceTools(family, version),
    structured: version >= 401,
  };
}

/** Of Claude from version 3 on; of other models only that Millrace asks them for chats. */
export function capabilitiesOf(model: string): Capabilities {
  const claude = parseClaude(model);
  if (!claude || claude.version < 300) return { serves: ['chat'] };
  const { maxTokens, prefill, thinking, structured } = traitsOf(model);
  return {
    serves: ['chat'],
    maxOutputTokens: maxTokens,
    input: claude.version < 305 ? ['text', 'image'] : ['text', 'image', 'file'],
    output: ['text'],
    tools: true,
    structuredOutput: structured,
    reasoning: thinking !== 'none',
    prefill,
  };
}

type Claude = { family: string; version: number };

/**
 * Parses `claude-3-5-haiku-20241022`, `claude-opus-4-20250514`, `us.anthropic.claude-sonnet-5-5-v1:0`: the
 * first one or two numbers are the version, here as 305, 400 and 505; a date is not part of it.
 */
function parseClaude(model: string): Claude | undefined {
  const name = /(?:^|[./])claude-(.+)$/.exec(model.toLowerCase())?.[1];
  if (name === undefined) return undefined;
  const words = name.split(/[-.@:]/);
  const family = words.find((word) => /^[a-z]+$/.test(word)) ?? '';
  const first = words.findIndex(isVersionNumber);
  const minor = words[first + 1] ?? '';
  if (first < 0) return { family, version: family === 'mythos' ? 500 : Infinity };
  const version = Number(words[first]) * 100 + (isVersionNumber(minor) ? Number(minor) : 0);
  return { family, version };
}

const isVersionNumber = (word: string): boolean => /^\d{1,2}$/.test(word);

const isAlwaysThinking = (family: string): boolean => family === 'fable' || family === 'mythos';

function canForceTools(family: string, version: number): boolean {
  if (isAlwaysThinking(family)) return version < 501;
  return family === 'haiku' || version < 505;
}

function maxTokensOf(family: string, version: number): number {
  if (version < 305) return 4096;
  if (version < 307) return 8192;
  if (version >= 406) return 128_000;
  return family === 'opus' && version < 405 ? 32_000 : 64_000;
}

function effortsOf(version: number): readonly Effort[] {
  if (version < 406) return [];
  return version < 407 ? efforts.filter((effort) => effort !== 'xhigh') : efforts;
}

function thinkingOffOf(family: string, version: number): ModelTraits['thinkingOff'] {
  if (isAlwaysThinking(family)) return 'never';
  if (version < 500) return 'unasked';
  if (version < 505 || family === 'haiku') return 'disabled';
  return family === 'sonnet' ? 'between_tools' : 'never';
}
