/**
 * The turns of many readers that share one connection to read their logs: a few at a time, and only
 * while there is room. What is read without room is thrown away and read again.
 */
export type ReadTurns = {
  /** One more reader. `resume` is that of the relay. */
  join(resume: () => void): ReadingTurn;
  /** There is room again. */
  goOn(): void;
  /** Readers that wait. */
  readonly waiting: number;
};

export type ReadingTurn = {
  /** Right before the relay opens a reader that begins with a read. */
  opening(): void;
  /** As the relay asks its sink, before a read and before it gives lines. */
  hasRoom(): boolean;
  /** The reader is paused, and may go on when it is its turn. */
  queue(): void;
  leave(): void;
};

/** Reads of one connection that are under way at the same time. */
export const readsAtOnce = 4;

type Place = {
  resume: () => void;
  /**
   * `starting`: the next question is whether a read may begin; `reading`: it is whether its lines
   * may be given; `idle`: lines that come live, or a read that the relay began by itself.
   */
  phase: 'idle' | 'starting' | 'reading' | 'left';
};

export function createReadTurns(hasRoom: () => boolean): ReadTurns {
  const waiting = new Set<Place>();
  let underWay = 0;

  function goOn(): void {
    for (const place of waiting) {
      if (underWay >= readsAtOnce || !hasRoom()) return;
      waiting.delete(place);
      place.phase = 'starting';
      place.resume();
      // It was not paused after all.
      if (place.phase === 'starting') place.phase = 'idle';
    }
  }

  function endRead(place: Place): void {
    place.phase = 'idle';
    underWay -= 1;
    // The next one when the lines of this one are given, and the room that is left is known.
    queueMicrotask(goOn);
  }

  function ask(place: Place): boolean {
    if (place.phase === 'reading') endRead(place);
    else if (place.phase === 'starting' && underWay < readsAtOnce && hasRoom()) {
      place.phase = 'reading';
      underWay += 1;
      return true;
    }
    const isWaiting = place.phase === 'starting';
    place.phase = 'idle';
    if (!isWaiting && hasRoom()) return true;
    waiting.add(place);
    return false;
  }

  return {
    join(resume) {
      const place: Place = { resume, phase: 'idle' };
      return {
        opening() {
          place.phase = 'starting';
        },
        hasRoom: () => ask(place),
        queue() {
          waiting.add(place);
          goOn();
        },
        leave() {
          waiting.delete(place);
          if (place.phase === 'reading') endRead(place);
          place.phase = 'left';
        },
      };
    },
    goOn,
    get waiting() {
      return waiting.size;
    },
  };
}
