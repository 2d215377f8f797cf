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
   * `opening`: the next question is whether a read may begin; `starting`: it is that, and the turn is
   * taken; `reading`: it is whether the lines that were read may be given; `idle`: lines that come
   * live, or a read that the relay began by itself.
   */
  phase: 'idle' | 'opening' | 'starting' | 'reading' | 'left';
};

export function createReadTurns(hasRoom: () => boolean): ReadTurns {
  /** Paused, all of them. */
  const waiting = new Set<Place>();
  let underWay = 0;

  const mayStart = () => underWay < readsAtOnce && hasRoom();

  function goOn(): void {
    for (const place of waiting) {
      if (!mayStart()) return;
      waiting.delete(place);
      start(place, 'starting');
      // The relay may ask at once, or when other connections have had their turn.
      place.resume();
    }
  }

  function start(place: Place, phase: 'starting' | 'reading'): void {
    place.phase = phase;
    underWay += 1;
  }

  function end(place: Place): void {
    place.phase = 'idle';
    underWay -= 1;
    // The next one when the lines of this one are given, and the room that is left is known.
    queueMicrotask(goOn);
  }

  function ask(place: Place): boolean {
    const { phase } = place;
    if (phase === 'starting' && hasRoom()) {
      place.phase = 'reading';
      return true;
    }
    if (phase === 'opening' && mayStart()) {
      start(place, 'reading');
      return true;
    }
    if (phase === 'starting' || phase === 'reading') end(place);
    place.phase = 'idle';
    if (phase !== 'opening' && hasRoom()) return true;
    waiting.add(place);
    return false;
  }

  return {
    join(resume) {
      const place: Place = { resume, phase: 'idle' };
      return {
        opening() {
          place.phase = 'opening';
        },
        hasRoom: () => ask(place),
        queue() {
          waiting.add(place);
          goOn();
        },
        leave() {
          waiting.delete(place);
          if (place.phase === 'starting' || place.phase === 'reading') end(place);
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
