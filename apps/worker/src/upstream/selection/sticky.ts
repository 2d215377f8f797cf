import { hash } from 'node:crypto';
import { memberText } from '@millrace/shared/domain/json-text';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Choice } from './port.ts';

/** Characters of a value that are used; a longer prefix would only cost time. */
const maxValueLength = 1024;

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
