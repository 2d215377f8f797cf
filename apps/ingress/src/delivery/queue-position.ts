import type { JobQueue } from '@millrace/shared/store/queue/port';
import type { JobEvent } from './encode.ts';

/**
 * Native readers of requests that wait: they are told their place, and again when it has changed
 * noticeably. One look for all of them, about once a second.
 */
export type WaitingRoom = {
  /** Tells at once, unless it does not wait. Ends by itself when it waits no more. */
  enter(id: string, tell: (event: JobEvent) => void): Visit;
  /** Milliseconds that a job in this place waits; undefined where that is not known. */
  estimate(position: number): number | undefined;
  /** Who waits and is told. */
  readonly guests: number;
  stop(): void;
};

export type Visit = {
  /** Resolves when it was told for the first time, or will not be. Never rejects. */
  readonly told: Promise<void>;
  /** Idempotent. */
  leave(): void;
};

export type WaitingRoomDeps = {
  queue: Pick<JobQueue, 'positions'>;
  /** Milliseconds until so many jobs of one shard are taken; undefined where that is not known. */
  waitFor(jobs: number): number | undefined;
  onError(error: unknown): void;
  everyMs?: number;
};

type Guest = {
  id: string;
  tell: (event: JobEvent) => void;
  at: number | undefined;
  waitMs: number | undefined;
};

export function createWaitingRoom(deps: WaitingRoomDeps): WaitingRoom {
  const { queue, waitFor, onError, everyMs = 1000 } = deps;
  const guests = new Set<Guest>();
  let timer: NodeJS.Timeout | undefined;
  let looking = false;

  async function look(some: readonly Guest[]): Promise<void> {
    try {
      const ids = [...new Set(some.map(({ id }) => id))];
      const found = await queue.positions(ids);
      const positions = new Map(ids.map((id, i) => [id, found[i]]));
      for (const guest of some) {
        // Left meanwhile.
        if (guests.has(guest)) tell(guest, positions.get(guest.id));
      }
    } catch (error) {
      onError(error);
    }
  }

  function tell(guest: Guest, position: number | undefined): void {
    if (position === undefined) {
      leave(guest);
      return;
    }
    const waitMs = estimate(position);
    if (!isNoticeable(guest, position, waitMs)) return;
    guest.at = position;
    guest.waitMs = waitMs;
    guest.tell({
      event: 'queued',
      data: JSON.stringify({ position, estimated_wait_ms: waitMs }),
    });
  }

  /** Until it is taken itself. */
  const estimate = (position: number) => waitFor(position + 1);

  function leave(guest: Guest): void {
    guests.delete(guest);
    if (guests.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function tick(): void {
    if (looking) return;
    looking = true;
    void look([...guests]).finally(() => {
      looking = false;
    });
  }

  return {
    enter(id, toGuest) {
      const guest: Guest = { id, tell: toGuest, at: undefined, waitMs: undefined };
      guests.add(guest);
      timer ??= setInterval(tick, everyMs).unref();
      return { told: look([guest]), leave: () => leave(guest) };
    },
    estimate,
    get guests() {
      return guests.size;
    },
    stop: () => clearInterval(timer),
  };
}

/** By a tenth of what was told; the estimate moves by itself and counts from a fifth on. */
function isNoticeable(
  { at, waitMs: told }: Guest,
  position: number,
  waitMs: number | undefined,
): boolean {
  if (at === undefined) return true;
  if (Math.abs(position - at) >= Math.max(1, at / 10)) return true;
  if (told === undefined || waitMs === undefined) return told !== waitMs;
  return Math.abs(waitMs - told) >= Math.max(1000, told / 5);
}
