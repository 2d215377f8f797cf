/** How many jobs a worker may hold, over all shards, and how many it holds or is fetching. */
export type Places = {
  /** One is free, and nobody waits for it. */
  readonly free: boolean;
  /** How many are free, and waited for by nobody. */
  readonly left: number;
  /** For a job that came unasked: one more is taken, also where none is free. */
  takeAnyway(): void;
  /** More are taken than there are. */
  readonly over: boolean;
  /** Those above the number are not taken away: none is free until they are given back. */
  set(count: number): void;
  /** Takes one, where one is free. */
  take(): boolean;
  /** Takes more of them for one of the shards, and leaves to the others their share of what is free; how many. */
  takeMore(most: number): number;
  /** Waits in line for one, behind those who came before: true with a place, false at the end. */
  next(): Promise<boolean>;
  giveBack(): void;
  /** There are no more places, and nobody waits for one. */
  close(): void;
};

export function createPlaces(count: number, shards = 1): Places {
  let places = count;
  let taken = 0;
  const line: ((has: boolean) => void)[] = [];

  function serve(): void {
    while (taken < places && line.length > 0) {
      taken += 1;
      line.shift()?.(true);
    }
  }

  return {
    get free() {
      return taken < places;
    },
    get left() {
      return line.length > 0 ? 0 : Math.max(0, places - taken);
    },
    takeAnyway() {
      taken += 1;
    },
    get over() {
      return taken > places;
    },
    set(wanted) {
      places = wanted;
      serve();
    },
    take() {
      if (taken >= places) return false;
      taken += 1;
      return true;
    },
    takeMore(most) {
      const share = Math.ceil((places - taken) / shards);
      const more = Math.max(0, Math.min(most, share));
      taken += more;
      return more;
    },
    next() {
      return new Promise((resolve) => {
        line.push(resolve);
        serve();
      });
    },
    giveBack() {
      taken -= 1;
      serve();
    },
    close() {
      places = 0;
      for (const resolve of line.splice(0)) resolve(false);
    },
  };
}
