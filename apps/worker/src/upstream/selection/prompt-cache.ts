import { hash } from 'node:crypto';
import { memberText } from '@millrace/shared/domain/json-text';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import { tokenCounts } from '@millrace/shared/cost/usage';

/*
 * Which part of a prompt a target's provider has in its prompt cache, as far as the workers of a fleet can tell: the beginning
 * that it was sent in the last minutes. Providers cache from the beginning on, so a prompt is a chain of blocks, and the hash of
 * each depends on all before it.
 */

/** Characters of a block: about 256 tokens; OpenAI caches in steps of 128. */
export const blockChars = 1024;
/** Blocks of the shortest beginning that counts: about 1,024 tokens, as OpenAI's and Anthropic's caches have it. */
const fewestBlocks = 4;
/** Blocks of a prompt that are compared; a prompt that is longer counts as if its rest were not cached. */
const maxBlocks = 128;
/** Milliseconds for which providers keep a beginning that is not asked for: the shortest of their times. */
const keptMs = 300_000;
/** Blocks that a worker remembers for all targets; at about 150 bytes each they take 8 MB. */
export const maxRemembered = 50_000;
/** Milliseconds after which a block that is still in use is shared with the other workers again. */
const shareAgainMs = 60_000;
/** Milliseconds in which blocks are gathered for one message to the other workers. */
const gatherMs = 100;
/** Most blocks of one message; further ones are not shared. */
const maxShared = 1000;
/** How much one answer says about the cache of its target. */
const learning = 0.3;

export type PromptCacheOptions = {
  now(): number;
  setTimer(act: () => void, ms: number): void;
  /** Sends a text to all workers, also to this one. */
  share(text: string): void;
};

export type PromptCache = ReturnType<typeof createPromptCache>;

export function createPromptCache({ now, setTimer, share }: PromptCacheOptions) {
  /** When each target was sent each block, and when that was shared; the oldest first. */
  const blocks = new Map<string, { at: number; sharedAt: number }>();
  /** The part of the expected tokens that was cached, by target, 0 to 1. */
  const hits = new Map<string, number>();
  let unshared: string[] = [];
  let last: { body: string; chain: readonly string[]; chars: number } | undefined;

  function chainOf(body: string) {
    if (last?.body !== body) last = { body, ...blocksOf(body) };
    return last;
  }

  /** The part of the prompt that the target was sent in the last minutes, 0 to 1. */
  function sentBefore(target: Target, body: string): number {
    const { chain, chars } = chainOf(body);
    const key = targetKey(target);
    const isKnown = (block: string) => (blocks.get(keyOf(key, block))?.at ?? 0) + keptMs > now();
    const unknown = chain.findIndex((block) => !isKnown(block));
    const known = unknown === -1 ? chain.length : unknown;
    return known < fewestBlocks ? 0 : (known * blockChars) / chars;
  }

  function remember(id: string, sharedAt: number): void {
    blocks.delete(id);
    blocks.set(id, { at: now(), sharedAt });
    if (blocks.size <= maxRemembered) return;
    for (const oldest of blocks.keys()) {
      blocks.delete(oldest);
      return;
    }
  }

  function tellOthers(id: string): void {
    if (unshared.length === 0) {
      setTimer(() => {
        share(JSON.stringify({ kind: 'prompt_blocks', blocks: unshared }));
        unshared = [];
      }, gatherMs);
    }
    if (unshared.length < maxShared) unshared.push(id);
  }

  return {
    /** The part of the prompt that the target is expected to have cached, 0 to 1. */
    expectedAt: (target: Target, body: string): number =>
      sentBefore(target, body) * (hits.get(targetKey(target)) ?? 1),

    /** The target is asked; the returned function takes the usage of its answer. */
    asked(target: Target, body: string): (usage: unknown) => void {
      const before = sentBefore(target, body);
      return (usage) => {
        const key = targetKey(target);
        const { input, cached } = tokenCounts(usage);
        if (before > 0 && input > 0) {
          const hit = Math.min(1, cached / (before * input));
          const known = hits.get(key) ?? 1;
          hits.set(key, known + learning * (hit - known));
        }
        for (const block of chainOf(body).chain) {
          const id = keyOf(key, block);
          const { sharedAt = -Infinity } = blocks.get(id) ?? {};
          const isDue = sharedAt + shareAgainMs <= now();
          if (isDue) tellOthers(id);
          remember(id, isDue ? now() : sharedAt);
        }
      };
    },

    /** Takes a text from any worker. Other kinds of texts are ignored. */
    onNotice(text: string): void {
      for (const id of readNotice(text)) remember(id, now());
    },

    /** For the bounds in /metrics. */
    get remembered(): number {
      return blocks.size;
    },
  };
}

const keyOf = (target: string, block: string): string => `${target} ${block}`;

/** The hashes of the prompt's complete blocks, and its characters. */
function blocksOf(body: string): { chain: string[]; chars: number } {
  // Providers put the tools in front of the messages.
  const messages = memberText(body, 'messages') ?? '';
  const chain: string[] = [];
  if (messages.length < fewestBlocks * blockChars) return { chain, chars: messages.length };
  let before = memberText(body, 'tools') ?? '';
  for (let at = 0; at + blockChars <= messages.length && chain.length < maxBlocks;) {
    before = hash('sha256', before + messages.slice(at, at + blockChars)).slice(0, 16);
    chain.push(before);
    at += blockChars;
  }
  return { chain, chars: messages.length };
}

const noticeStart = '{"kind":"prompt_blocks"';

function readNotice(text: string): string[] {
  if (!text.startsWith(noticeStart)) return [];
  try {
    const { blocks } = JSON.parse(text) as { blocks?: unknown };
    if (!Array.isArray(blocks)) return [];
    return blocks.filter((one): one is string => typeof one === 'string').slice(0, maxShared);
  } catch {
    return [];
  }
}
