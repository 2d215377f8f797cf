import type { TargetHold, TargetHolds } from '@millrace/shared/store/target-holds/port';

/** The targets that an operator has opened, as this worker knows them. While Redis is away they stay as they were. */
export type Holds = {
  /** By target (domain/target-key.ts). */
  get(key: string): TargetHold | undefined;
  readonly keys: readonly string[];
  /** An operator may have changed them: reads them again. */
  look(): Promise<void>;
  /** Calls the listener after each change. */
  onChange(listener: () => void): void;
  close(): void;
};

export type HoldsOptions = {
  store: Pick<TargetHolds, 'read'>;
  onError(error: unknown): void;
};

/** Milliseconds between two readings that no message asks for: a message may be lost. */
const readEveryMs = 5000;

/** Resolves when the holds were read, or cannot be read now. */
export async function followHolds({ store, onError }: HoldsOptions): Promise<Holds> {
  const listeners: (() => void)[] = [];
  let holds: ReadonlyMap<string, TargetHold> = new Map();
  let reading: Promise<void> | undefined;
  let isStale = false;

  async function read(): Promise<void> {
    do {
      isStale = false;
      const before = [...holds.keys()].join('\n');
      holds = await store.read();
      if ([...holds.keys()].join('\n') !== before) for (const listener of listeners) listener();
    } while (isStale);
  }

  /** A message during a reading begins another one: the first may have been too early. */
  function look(): Promise<void> {
    isStale = true;
    reading ??= read()
      .catch(onError)
      .finally(() => (reading = undefined));
    return reading;
  }

  const timer = setInterval(() => void look(), readEveryMs).unref();
  await look();
  return {
    get: (key) => holds.get(key),
    get keys() {
      return [...holds.keys()];
    },
    look,
    onChange: (listener) => void listeners.push(listener),
    close: () => clearInterval(timer),
  };
}
