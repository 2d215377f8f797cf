import { parseEntryId } from '../../domain/entry.ts';
import type { EntryId, TerminalKind } from '../../domain/entry.ts';
import type { SealOutcome } from './port.ts';

/** Most entries and bytes of the past that a seal returns: Redis serves no other client meanwhile. */
export const pastPacks = 512;
export const pastBytes = 128 * 1024;

/** The reply of lua/seal-log.lua. */
export type SealReply = readonly unknown[];

export function sealOutcome([
  kind,
  run,
  last,
  body,
  entries,
  past,
  through,
]: SealReply): SealOutcome {
  if (kind === 'ended') return { kind, by: String(run) as TerminalKind };
  if (kind === 'fenced' || kind === 'gone') return { kind };
  return {
    kind: 'sealed',
    run: Number(run),
    last: entryId(String(last)),
    entries: Number(entries),
    body: String(body),
    past: {
      texts: past === '' ? [] : String(past).split('\n'),
      through: entryId(String(through)),
    },
  };
}

export function entryId(text: string): EntryId {
  const id = parseEntryId(text);
  if (!id) throw new Error(`not an entry id in a log: ${text}`);
  return id;
}
