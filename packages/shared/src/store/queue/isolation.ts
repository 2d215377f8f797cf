import { suspectMs } from '../../domain/poison.ts';

/**
 * One suspect at a time: jobs that may have killed a worker are begun one by one, so that the next death
 * tells which of them it was.
 */
export type Isolation = {
  /** One is here that has not proved itself yet. */
  readonly isTaken: boolean;
  /** Takes the place of the suspect; gives back what frees it, which is to be called once it is proved. Idempotent. */
  take(): () => void;
  close(): void;
};

/** `onFree`: the next one may come. By itself that is after the time for which a job is a suspect. */
export function createIsolation({ onFree }: { onFree(): void }): Isolation {
  let release: (() => void) | undefined;
  return {
    get isTaken() {
      return release !== undefined;
    },
    take() {
      const free = () => {
        clearTimeout(timer);
        if (release !== free) return;
        release = undefined;
        onFree();
      };
      const timer = setTimeout(free, suspectMs);
      timer.unref();
      release = free;
      return free;
    },
    close: () => release?.(),
  };
}
