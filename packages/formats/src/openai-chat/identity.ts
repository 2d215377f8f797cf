import { randomUUID } from 'node:crypto';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { ProviderCall } from '../port.ts';

/** Members that identify the answer of a chunk: the same, and not empty, over a whole stream. */
const identityMembers = ['id', 'created', 'model'] as const;

type Members = Readonly<Record<string, string>>;

export type Identity = {
  /** Reads the members from a chunk: the first non-empty value of each counts. */
  learn(chunk: unknown): void;
  /** Every member has its value. */
  readonly isKnown: boolean;
  /** Sets our own values for members that the provider has not sent. Idempotent. */
  settle(): void;
  /**
   * The members that a chunk lacks or has with another value, as JSON texts; undefined if it is correct. Some
   * providers change them within a stream, and clients that group by id would see two answers.
   */
  changed(chunk: unknown): Members | undefined;
};

/** `shown`: the values that readers have seen. `model`: the model that is asked. */
export function createIdentity(
  { identity: shown = {}, model }: Pick<ProviderCall, 'identity' | 'model'>,
  now: () => number = Date.now,
): Identity {
  const first = new Map<string, string>();
  learn(shown);

  function learn(chunk: unknown): void {
    if (!isJsonObject(chunk)) return;
    for (const name of identityMembers) {
      if (!first.has(name) && saysSomething(chunk[name]))
        first.set(name, JSON.stringify(chunk[name]));
    }
  }

  return {
    learn,
    get isKnown() {
      return first.size === identityMembers.length;
    },
    settle() {
      if (first.size < identityMembers.length) learn(ownIdentity(model, now()));
    },
    changed(chunk) {
      if (!isJsonObject(chunk)) return undefined;
      let changed: Record<string, string> | undefined;
      for (const [name, kept] of first) {
        if (JSON.stringify(chunk[name]) !== kept) (changed ??= {})[name] = kept;
      }
      return changed;
    },
  };
}

/** For an answer without an identity from the provider. */
const ownIdentity = (model: string, now: number) => ({
  id: `chatcmpl-${randomUUID().replaceAll('-', '')}`,
  created: Math.floor(now / 1000),
  model,
});

/** The members that a whole answer lacks, as JSON texts; undefined if it has them all. */
export function missingIdentity(
  answer: Readonly<Record<string, unknown>>,
  model: string,
  now: number,
): Members | undefined {
  if (identityMembers.every((name) => saysSomething(answer[name]))) return undefined;
  const own = ownIdentity(model, now);
  const missing = identityMembers.filter((name) => !saysSomething(answer[name]));
  return Object.fromEntries(missing.map((name) => [name, JSON.stringify(own[name])]));
}

/** An id for a tool call without one from its provider. */
export const newCallId = (): string => `call_${randomUUID().replaceAll('-', '')}`;

/** Preambles (Azure's filter results) have empty ones. */
const saysSomething = (value: unknown): boolean =>
  (typeof value === 'string' && value !== '') || (typeof value === 'number' && value > 0);
