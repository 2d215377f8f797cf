import type { Gossip } from '@millrace/shared/store/gossip/port';
import { isNewer, readStateRecord } from './state-record.ts';
import type { StateRecord } from './state-record.ts';

export type SharedStatesOptions = {
  fleet: Gossip;
  now: () => number;
  /** Other facts are left to those whom they concern. */
  judges(key: string): boolean;
  current(key: string): StateRecord;
  adopt(key: string, record: StateRecord): void;
  onError: (error: unknown) => void;
};

/** States as facts, for workers that come later. What is closed has none. */
export type SharedStates = {
  /** This worker decided: the fact follows, when it can. */
  share(key: string): void;
  /** Reads the facts, takes what is newer, and writes what is not there yet. */
  sync(): void;
  /** Once more what could not be done. */
  retry(): void;
};

const prefix = 'breaker/';
/** Rounds of one write: each one lost means that another worker changed the fact meanwhile. */
const maxRounds = 10;

export function createSharedStates(options: SharedStatesOptions): SharedStates {
  const { fleet, now, judges, current, adopt, onError } = options;
  /** The newest fact that was seen, by target. */
  const versions = new Map<string, string>();
  /** Facts that do not say yet what this worker decided. */
  const behind = new Set<string>();
  const writing = new Set<string>();
  let isUnread = false;
  let reading = false;

  function share(key: string): void {
    behind.add(key);
    if (writing.has(key)) return;
    void write(key);
  }

  /** It ends in the same step in which it finds nothing more to write: nothing falls in between. */
  async function write(key: string): Promise<void> {
    writing.add(key);
    try {
      for (let round = 0; round < maxRounds && behind.has(key); round++) {
        const goesOn = await writeOnce(key);
        if (!goesOn) break;
      }
    } catch (error) {
      onError(error);
    } finally {
      writing.delete(key);
    }
  }

  async function writeOnce(key: string): Promise<boolean> {
    behind.delete(key);
    const record = current(key);
    const outcome = await put(`${prefix}${key}`, record, versions.get(key));
    switch (outcome.kind) {
      case 'set':
        see(key, outcome.version);
        break;
      case 'changed': {
        see(key, outcome.state?.version);
        const theirs = outcome.state && parse(outcome.state.text, now());
        if (theirs && isNewer(theirs, current(key))) adopt(key, theirs);
        else behind.add(key);
        break;
      }
      case 'away':
        behind.add(key);
        return false;
      case 'full':
        onError(new Error(`there are too many facts for the state of ${key}`));
        return false;
    }
    if (current(key) !== record) behind.add(key);
    return true;
  }

  const put = (field: string, record: StateRecord, seen: string | undefined) =>
    record.state.kind === 'closed'
      ? fleet.clearState(field, seen)
      : fleet.setState(field, JSON.stringify(record), seen);

  function see(key: string, version: string | undefined): void {
    if (version === undefined) versions.delete(key);
    else versions.set(key, version);
  }

  async function read(): Promise<void> {
    isUnread = false;
    const outcome = await fleet.states();
    if (outcome.kind === 'away') {
      isUnread = true;
      return;
    }
    const missing = new Set(versions.keys());
    for (const [field, { text, version }] of outcome.states) {
      if (!field.startsWith(prefix)) continue;
      const key = field.slice(prefix.length);
      if (!judges(key)) continue;
      missing.delete(key);
      // A write that is under way learns of it by itself.
      if (!writing.has(key)) versions.set(key, version);
      const theirs = parse(text, now());
      if (theirs) adopt(key, theirs);
      const mine = current(key);
      // Also a record that is out of date by now: a worker that reads it clears it.
      if (!theirs || isNewer(mine, theirs) || mine.state.kind === 'closed') share(key);
    }
    for (const key of missing) {
      if (writing.has(key)) continue;
      versions.delete(key);
      // Redis came back without it.
      if (current(key).state.kind !== 'closed') share(key);
    }
  }

  async function sync(): Promise<void> {
    isUnread = true;
    if (reading) return;
    reading = true;
    try {
      await read();
    } catch (error) {
      onError(error);
    } finally {
      reading = false;
    }
  }

  return {
    share,
    sync: () => void sync(),
    retry() {
      if (isUnread) void sync();
      for (const key of behind) share(key);
    },
  };
}

function parse(text: string, now: number): StateRecord | undefined {
  try {
    return readStateRecord(JSON.parse(text), now);
  } catch {
    return undefined;
  }
}
