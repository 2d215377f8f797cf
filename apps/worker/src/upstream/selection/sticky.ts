import { hash } from 'node:crypto';
import { isJsonObject, itemsOf, readJsonObject } from '@millrace/shared/domain/json';
import { itemTexts, memberText } from '@millrace/shared/domain/json-text';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Choice } from './port.ts';

/** Characters of a value that are used; a longer prefix would only cost time. */
const maxValueLength = 1024;

/** Characters of a conversation's beginning that are compared. */
const maxStartLength = 64 * 1024;

/** What keeps requests at one target: a field of the body by its path, or `prefix`, the beginning of the conversation. */
export const stickyText = (body: string, sticky: string): string | undefined =>
  sticky === 'prefix' ? conversationStart(body) : stickyValue(body, sticky);

/**
 * The messages up to the first one of the user: they stay the same while the conversation grows, and a provider has cached the
 * prompt from there on. Marks for caches are left out, because clients move them. Undefined without messages.
 */
export function conversationStart(body: string): string | undefined {
  const messages = memberText(body, 'messages') ?? '';
  const start: string[] = [];
  let length = 0;
  for (const text of itemTexts(messages)) {
    // A message that is longer is cut, so it cannot be parsed; it has no marks that matter behind that.
    const message = text.length > maxStartLength ? undefined : readJsonObject(text);
    const part = message ? JSON.stringify(plainMessage(message)) : text.slice(0, maxStartLength);
    start.push(part);
    length += part.length;
    const isUsers = message ? message['role'] === 'user' : /"role"\s*:\s*"user"/.test(text);
    if (isUsers || length > maxStartLength) break;
  }
  return start.length === 0 ? undefined : start.join('\n').slice(0, maxStartLength);
}

/** A message by what it says: a text is the same as one part with this text. */
function plainMessage({ role, content }: Readonly<Record<string, unknown>>): unknown[] {
  if (!Array.isArray(content)) return [role, content];
  const parts = itemsOf(content).map((part) => {
    if (!isJsonObject(part)) return part;
    const { cache_control: _, ...rest } = part;
    return rest['type'] === 'text' ? rest['text'] : rest;
  });
  return [role, ...parts];
}

/**
 * The value of a field in a request's body, by its path (`user`, `metadata.session`); undefined if it is
 * missing, null, empty or not a scalar. Only the objects on the path are parsed.
 */
export function stickyValue(body: string, path: string): string | undefined {
  let text: string | undefined = body;
  for (const name of path.split('.')) {
    if (!text?.trimStart().startsWith('{')) return undefined;
    text = memberText(text, name);
  }
  if (text === undefined || text === 'null' || text === '""' || /^[{[]/.test(text))
    return undefined;
  return text.slice(0, maxValueLength);
}

/**
 * The targets in the order of their scores for this value (weighted rendezvous hashing): every worker
 * computes the same order, and if a target is lost, only its own values move.
 */
export function rendezvous<T extends Choice>(targets: readonly T[], value: string): T[] {
  return targets
    .map((target) => ({ target, score: -target.weight / Math.log(draw(targetKey(target), value)) }))
    .sort((a, b) => b.score - a.score)
    .map(({ target }) => target);
}

/** Between 0 and 1, both excluded; the same for the same texts. */
function draw(target: string, value: string): number {
  const digest = hash('sha256', `${target}\n${value}`, 'buffer');
  return (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
