import { ourFault } from './failed-attempt.ts';
import type { CallWatch, Permit } from '../upstream/target-access.ts';

/** A permit that can be given back after a bug, whether or not its call had begun. */
export type HeldPermit = { permit: Permit; giveBack(): void };

export function holdPermit(given: Permit): HeldPermit {
  let watch: CallWatch | undefined;
  let isOver = false;
  const permit: Permit = {
    apiKey: given.apiKey,
    begin: () => (watch = given.begin()),
    cancel() {
      isOver = true;
      given.cancel();
    },
  };
  return {
    permit,
    giveBack() {
      if (isOver) return;
      isOver = true;
      if (watch) watch.ended({ kind: 'fault', fault: ourFault });
      else given.cancel();
    },
  };
}
