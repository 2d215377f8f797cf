import { parseEntryId } from '../../domain/entry.ts';
import type { EntryId, TerminalKind } from '../../domain/entry.ts';
import { records } from '../records.ts';
import type { PastEntry, SealOutcome } from './port.ts';

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
      entries: pastEntries(String(past)),
      through: entryId(String(through)),
    },
  };
}

/** A line with the time of an entry comes before its lines. */
function pastEntries(past: string): PastEntry[] {
  const entries: { at: number | undefined; texts: string[] }[] = [];
  if (past === '') return entries;
  let texts: string[] = [];
  for (const line of past.split('\n')) {
    if (line[0] === records.line.time) {
      texts = [];
      entries.push({ at: timeIn(line.slice(1)), texts });
    } else texts.push(line);
  }
  return entries;
}

/** The time of an entry as scripts return it; empty if it has none. */
export const timeIn = (text: string | undefined): number | undefined =>
  text === undefined || text === '' ? undefined : Number(text);

export function entryId(text: string): EntryId {
  const id = parseEntryId(text);
  if (!id) throw new Error(`not an entry id in a log: ${text}`);
  return id;
}
