import type { Frame, InboxEvents, LiveChannels, WorkerEvents } from './port.ts';

/**
 * The live paths within one process, for tests: immediate and in order, unless a test holds an inbox. Held
 * frames wait until the test delivers or drops them, one by one or all.
 */
export type MemoryChannels = LiveChannels & {
  /** From now on the frames of this inbox wait. */
  hold(inbox: string): void;
  /** Delivers the oldest waiting frames, by default all; the inbox stays held. */
  deliver(inbox: string, count?: number): Frame[];
  /** Drops the oldest waiting frames, by default all; the test calls `gap` itself. */
  drop(inbox: string, count?: number): Frame[];
  /** Delivers the waiting frames and stops holding. */
  release(inbox: string): void;
  /** Simulates a lost and restored connection: waiting frames are lost. */
  gap(inbox: string): void;
};

/** The log's access to the listeners. */
export type MemoryPublisher = {
  publish(inbox: string, frame: Frame): void;
  tellWorker(worker: string, id: string): void;
  isListening(inbox: string): boolean;
};

type Listener = { events: InboxEvents; held: Frame[] | undefined };

export function createMemoryChannels(): MemoryChannels & MemoryPublisher {
  const inboxes = new Map<string, Set<Listener>>();
  const workers = new Map<string, Set<WorkerEvents>>();

  const listeners = (inbox: string): Listener[] => [...(inboxes.get(inbox) ?? [])];

  /** `count` defaults to the length of the queue. */
  const take = (listener: Listener, count = listener.held?.length ?? 0): Frame[] =>
    listener.held?.splice(0, count) ?? [];

  function deliver(inbox: string, count?: number): Frame[] {
    return listeners(inbox).flatMap((listener) => {
      const frames = take(listener, count);
      for (const frame of frames) listener.events.onFrame(frame);
      return frames;
    });
  }

  return {
    async openInbox(name, events) {
      const listener: Listener = { events, held: undefined };
      const close = join(inboxes, name, listener);
      return { name, close: async () => close() };
    },

    async openWorker(name, events) {
      const close = join(workers, name, events);
      return { close: async () => close() };
    },

    countWorkers: async () => [...workers.values()].reduce((sum, { size }) => sum + size, 0),

    publish(inbox, frame) {
      for (const { events, held } of listeners(inbox)) {
        if (held) held.push(frame);
        else events.onFrame(frame);
      }
    },

    tellWorker(worker, id) {
      for (const events of workers.get(worker) ?? []) events.onFinished(id);
    },

    isListening: (inbox) => inboxes.has(inbox),

    hold(inbox) {
      for (const listener of listeners(inbox)) listener.held ??= [];
    },
    deliver,
    drop: (inbox, count) => listeners(inbox).flatMap((listener) => take(listener, count)),
    release(inbox) {
      deliver(inbox);
      for (const listener of listeners(inbox)) listener.held = undefined;
    },
    gap(inbox) {
      for (const listener of listeners(inbox)) {
        take(listener);
        listener.events.onGap();
      }
    },
  };
}

/** Adds a member under a name until the returned function is called; a name without members is removed. */
function join<T>(groups: Map<string, Set<T>>, name: string, member: T): () => void {
  const group = groups.get(name) ?? new Set<T>();
  groups.set(name, group.add(member));
  return () => {
    group.delete(member);
    if (group.size === 0 && groups.get(name) === group) groups.delete(name);
  };
}
