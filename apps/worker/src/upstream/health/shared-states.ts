import type { Gossip } from '@millrace/shared/store/gossip/port';
import { isNewer, readStateRecord } from './state-record.ts';
import type { StateRecord } from './state-record.ts';

export type SharedStatesOptions = {
  fleet: Gossip;
  now: () => number;
  /** Whether this worker handles the target; other states are ignored. */
  judges(key: string): boolean;
  current(key: string): StateRecord;
  adopt(key: string, record: StateRecord): void;
  onError: (error: unknown) => void;
};

/** Stores states in Redis for workers that start later. A closed breaker has no entry. */
export type SharedStates = {
  /** Stores this worker's decision, as soon as Redis is reachable. */
  share(key: string): void;
  /** Reads the stored states, adopts newer ones, and writes missing ones. */
  sync(): void;
  /** Repeats what failed before. */
  retry(): void;
};

const prefix = 'breaker/';
/** The most rounds of one write; in each lost round another worker has changed the state. */
const maxRounds = 10;

export function createSharedStates(options: SharedStatesOptions): SharedStates {
  const { fleet, now, judges, current, adopt, onError } = options;
  /** The newest version seen, by target. */
  const versions = new Map<string, string>();
  /** Targets whose stored state does not have this worker's decision yet. */
  const behind = new Set<string>();
  const writing = new Set<string>();
  let isUnread = false;
  let reading = false;

  function share(key: string): void {
    behind.add(key);
    if (writing.has(key)) return;
    void write(key);
  }

  /** It ends in the same turn in which it finds nothing more to write, so no change is missed. */
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
        onError(new Error(`too many states are stored to add that of ${key}`));
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
      // A write in progress reads the version itself.
      if (!writing.has(key)) versions.set(key, version);
      const theirs = parse(text, now());
      if (theirs) adopt(key, theirs);
      const mine = current(key);
      // Also an outdated record: the worker that reads it clears it.
      if (!theirs || isNewer(mine, theirs) || mine.state.kind === 'closed') share(key);
    }
    for (const key of missing) {
      if (writing.has(key)) continue;
      versions.delete(key);
      // Redis has lost it.
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
