/*
 * A simulated provider that bills: its prices, its faults and its prompt cache are given, and every fault is
 * decided by the request alone, so that it does not depend on the order in which requests arrive.
 */

import { createHash } from 'node:crypto';

/** In USD per million tokens. */
export interface Prices {
  input: number;
  cachedInput: number;
  output: number;
}

export interface ProviderSpec {
  prices: Prices;
  /** Milliseconds until its first token. */
  firstTokenMs: number;
  /** Shares of the requests that get an error status, and that break off in the middle. */
  errors: number;
  cuts: number;
  /** Whether it has a prompt cache. */
  caches: boolean;
}

export interface Bill {
  requests: number;
  input: number;
  cached: number;
  output: number;
  /** In USD. */
  cost: number;
}

export interface Message {
  role: string;
  content: string;
}

/** Characters of a token, and tokens of a block of the prompt cache, as OpenAI's. */
const CHARS_PER_TOKEN = 4;
const BLOCK_TOKENS = 128;
/** Tokens of the shortest prompt that is cached. */
const SHORTEST_CACHED = 1_024;
const BLOCK_CHARS = BLOCK_TOKENS * CHARS_PER_TOKEN;

export const ANSWER_WORDS = 100;

/** The answer to a question, a word for each token. */
export const wordsOf = (question: string): string[] =>
  Array.from({ length: ANSWER_WORDS }, (_, at) => `${question}-${at}`);

export type Plan =
  | { kind: 'error' }
  /** `words`: what is sent; `isCut`: the connection breaks behind them. */
  | { kind: 'answer'; words: string[]; isCut: boolean; input: number; cached: number };

/** What a provider answers, and what it bills for it. */
export class Billing {
  readonly bill: Bill = { requests: 0, input: 0, cached: 0, output: 0, cost: 0 };
  readonly #name: string;
  readonly #spec: ProviderSpec;
  readonly #cached = new Set<string>();
  /** How often each question was asked here: each try has a fate of its own. */
  readonly #tries = new Map<string, number>();

  constructor(name: string, spec: ProviderSpec) {
    this.#name = name;
    this.#spec = spec;
  }

  /** `question`: the id of the request in the load. A trailing assistant message is continued. */
  plan(question: string, messages: readonly Message[]): Plan {
    const attempt = (this.#tries.get(question) ?? 0) + 1;
    this.#tries.set(question, attempt);
    this.bill.requests += 1;
    const fate = drawOf(`${this.#name} ${question} ${attempt}`);
    const { errors, cuts } = this.#spec;
    // Providers do not charge for an error.
    if (fate < errors) return { kind: 'error' };
    const last = messages.at(-1);
    const said = last?.role === 'assistant' ? last.content.trim().split(/\s+/).length : 0;
    const rest = wordsOf(question).slice(said);
    const isCut = fate < errors + cuts;
    const words = isCut ? rest.slice(0, Math.ceil(rest.length / 2)) : rest;
    return { kind: 'answer', words, isCut, ...this.#read(messages) };
  }

  charge(input: number, cached: number, output: number): void {
    const { prices } = this.#spec;
    this.bill.input += input;
    this.bill.cached += cached;
    this.bill.output += output;
    this.bill.cost +=
      ((input - cached) * prices.input + cached * prices.cachedInput + output * prices.output) /
      1e6;
  }

  /** The tokens of a prompt, and those that the cache has; the prompt is in the cache afterwards. */
  #read(messages: readonly Message[]): { input: number; cached: number } {
    const text = messages.map(({ role, content }) => `${role}: ${content}`).join('\n');
    const input = Math.ceil(text.length / CHARS_PER_TOKEN);
    if (!this.#spec.caches) return { input, cached: 0 };
    let cached = 0;
    for (let end = BLOCK_CHARS; end <= text.length; end += BLOCK_CHARS) {
      const block = createHash('sha1').update(text.slice(0, end)).digest('base64');
      if (this.#cached.has(block)) cached = end / CHARS_PER_TOKEN;
      else this.#cached.add(block);
    }
    return { input, cached: cached < SHORTEST_CACHED ? 0 : cached };
  }
}

/** Between 0 and 1; the same for the same text. */
const drawOf = (text: string): number =>
  createHash('sha1').update(text).digest().readUIntBE(0, 6) / 2 ** 48;
