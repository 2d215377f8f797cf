import type { Line } from '@millrace/shared/domain/entry';
import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { encodeStream } from '../../apps/ingress/src/api/chat-completions/encoder.ts';
import { toJobEvent } from '../../apps/ingress/src/api/jobs/job-event.ts';
import type { ReaderSink, Relay } from '../../apps/ingress/src/delivery/relay.ts';

/** What one reader was sent, in order. `id`: the entry id of a line that has one. */
export type Item = { event: string; id: string; data: string };

export type Given = { after: EntryId; items: Item[]; lines: Line[] };

const plain = encodeStream({ includeUsage: true, withIds: true });

const terminals: Record<string, string> = { d: 'done', f: 'failed', x: 'cancelled' };

/** Opens a reader as the surface of its kind does, through that surface's own encoders. */
export function openReader(
  relay: Relay,
  id: string,
  kind: 'plain' | 'native',
  after: EntryId,
): Given {
  const given: Given = { after, items: [], lines: [] };
  const sink: ReaderSink = {
    lines(lines) {
      given.lines.push(...lines);
      for (const line of lines) {
        const item = kind === 'plain' ? plainItem(line) : nativeItem(line);
        if (item) given.items.push(item);
      }
      return true;
    },
    reset(reason) {
      given.items.push({ event: 'log reset', id: '', data: reason });
    },
    gone(reason) {
      given.items.push({ event: 'gone', id: '', data: reason });
    },
  };
  if (after === logStart) relay.openFresh(id, sink);
  else relay.open(id, after, sink);
  return given;
}

/** The lines that a plain stream shows: chunks, usage, the end. */
function plainItem(line: Line): Item | undefined {
  const kind = line.text[0] ?? '';
  if (kind === 'c' || kind === 'u') {
    const [, id = '', data = ''] = /^id: (.*)\ndata: ([^]*)\n\n$/.exec(plain.chunk(line)) ?? [];
    return { event: kind === 'c' ? 'chunk' : 'usage', id, data };
  }
  const event = terminals[kind];
  if (event === undefined) return kind === 'z' ? { event: 'reset', id: '', data: '' } : undefined;
  const entry = decodeEntry(line.text);
  const data = 'data' in entry ? JSON.stringify(entry.data) : '';
  return { event, id: `${line.run}-${line.seq}`, data };
}

function nativeItem(line: Line): Item | undefined {
  const event = toJobEvent(line, true);
  if (!event) return undefined;
  const { entry = '', data } = event;
  return { event: line.text.startsWith('u') ? 'usage' : event.event, id: entry, data };
}
