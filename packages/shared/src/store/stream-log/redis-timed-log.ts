import type { Redis } from 'ioredis';
import { formatEntryId, kindOf, parseEntryId, unpack } from '../../domain/entry.ts';
import type { EntryId } from '../../domain/entry.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { createRedisPacking } from './redis-packing.ts';
import type { TimedItem, TimedLog } from './timed-log.ts';

/** Entries of one command: Redis sends at most half a megabyte for each, and usually some kilobytes. */
const batchSize = 100;
/** Characters after which a page ends. */
const maxPageChars = 4 * 1024 * 1024;

export function createTimedLog({ redis, keys }: { redis: Redis; keys: Keyspace }): TimedLog {
  const packing = createRedisPacking({ redis, keys });

  async function entriesAfter(id: string, cursor: string): Promise<RawEntry[]> {
    return redis.xrange(keys.log(id), `(${cursor}`, '+', 'COUNT', batchSize);
  }

  return {
    async read(id, after, limit) {
      let entries = await entriesAfter(id, formatEntryId(after));
      if (entries.length === 0 && !(await redis.exists(keys.log(id)))) {
        if (!(await packing.unpack(id))) return undefined;
        entries = await entriesAfter(id, formatEntryId(after));
      }
      const items: TimedItem[] = [];
      for (let chars = 0; entries.length > 0;) {
        for (const entry of entries) {
          for (const item of itemsOf(entry, after)) {
            if (items.length === limit) return { items, more: true };
            items.push(item);
            if ('text' in item) chars += item.text.length;
          }
        }
        const isLast = entries.length < batchSize;
        if (isLast) break;
        if (chars > maxPageChars) return { items, more: true };
        entries = await entriesAfter(id, entries.at(-1)?.[0] ?? '');
      }
      return { items, more: false };
    },
  };
}

type RawEntry = [id: string, fields: string[]];

function itemsOf([idText, fields]: RawEntry, after: EntryId): TimedItem[] {
  const id = parseEntryId(idText);
  if (!id) return [];
  const of = (name: string) => {
    const at = fields.indexOf(name);
    return at % 2 === 0 ? fields[at + 1] : undefined;
  };
  const seal = of(records.entry.seal);
  if (seal !== undefined) {
    const { worker = '', at } = JSON.parse(seal) as { worker?: string; at?: number };
    return [{ kind: 'seal', worker, at, run: id.run, seq: 0 }];
  }
  const time = of(records.entry.at);
  const sentAt = time === undefined ? undefined : Number(time);
  const lines = unpack(id, (of(records.entry.lines) ?? '').split('\n'), after);
  return lines.map((line) => ({ ...line, at: ownTime(line.text) ?? sentAt }));
}

/** Lines that a reader waits for are sent at once; others wait, and have their time in their data. */
function ownTime(text: string): number | undefined {
  const kind = kindOf(text);
  if (kind === 'chunk' || kind === 'usage' || kind === 'result' || kind === 'seam')
    return undefined;
  const { at } = JSON.parse(text.slice(1)) as { at?: unknown };
  return typeof at === 'number' ? at : undefined;
}
