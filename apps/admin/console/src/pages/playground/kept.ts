import type { Draft } from './draft.ts';
import type { Answer } from './use-answer.ts';

/*
 * What this browser tab keeps of the playground while another page is open or while it is loaded anew: the answer goes on, and
 * is read on behind its last event. A logout forgets it (shell/session-tabs.ts).
 */

const answerName = 'millrace-playground-answer';
const draftName = 'millrace-playground-draft';

/** An answer of one tab; its times are of a clock that goes on over a reload. */
export const clockNow = (): number => performance.timeOrigin + performance.now();

/** Undefined: there is nothing to go on with. */
export function keepAnswer(answer: Answer | undefined): void {
  keep(answerName, answer?.id === undefined ? undefined : answer);
}

export const keptAnswer = (): Answer | undefined => kept(answerName) as Answer | undefined;

export const keepDraft = (draft: Draft): void => keep(draftName, draft);

export const keptDraft = (): Draft | undefined => kept(draftName) as Draft | undefined;

function keep(name: string, value: unknown): void {
  try {
    if (value === undefined) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // An answer beyond the storage's quota; what was kept before is older.
    sessionStorage.removeItem(name);
  }
}

function kept(name: string): unknown {
  try {
    return JSON.parse(sessionStorage.getItem(name) ?? 'null') ?? undefined;
  } catch {
    return undefined;
  }
}
