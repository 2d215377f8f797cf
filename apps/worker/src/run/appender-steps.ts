import { newRequestId } from '@millrace/shared/domain/request';
import type { AppendItem, AppendOutcome } from '@millrace/shared/store/stream-log/port';
import { createAppender } from './appender.ts';
import type { LogWriter, WriterOptions } from './append-writer.ts';
import type { Appender } from './appender.ts';

/* Helpers for tests of the appender: calls to a log that the test answers itself. */

export type Call = {
  shard: number;
  items: readonly AppendItem[];
  /** Without arguments, every item counts as written. */
  answer(...outcomes: AppendOutcome[]): Promise<void>;
  fail(error: Error): Promise<void>;
};

export type Opened = LogWriter & {
  id: string;
  /** Reasons with which `onRefused` was called. */
  refused: string[];
  pressure: boolean[];
};

export type AppenderRig = {
  appender: Appender;
  calls: Call[];
  errors: unknown[];
  open(options?: Partial<WriterOptions> & { shard?: number }): Opened;
  /** The call with this index; throws if it was not made. */
  call(at: number): Call;
};

/** One turn of the event loop, in which the appender makes the calls that are due. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const linesOf = ({ items }: Call) => items.map(({ lines }) => lines);

/** An appender that may hold 1,000 characters of a stream. */
export function createAppenderRig(): AppenderRig {
  const calls: Call[] = [];
  const errors: unknown[] = [];

  const append = (shard: number, items: readonly AppendItem[]): Promise<AppendOutcome[]> =>
    new Promise((resolve, reject) => {
      calls.push({
        shard,
        items,
        async answer(...outcomes) {
          resolve(items.map((_, i) => outcomes[i] ?? 'written'));
          await turn();
          await turn();
        },
        async fail(error) {
          reject(error);
          await turn();
        },
      });
    });

  const appender = createAppender({
    log: { append },
    maxHeldBytes: 1000,
    onError: (error) => errors.push(error),
  });

  return {
    appender,
    calls,
    errors,
    open(options = {}) {
      const refused: string[] = [];
      const pressure: boolean[] = [];
      const { shard = 0, id = newRequestId(shard, Date.now()) } = options;
      const writer = appender.open({
        id,
        run: 1,
        nonce: 'n',
        prev: { run: 0, seq: 0 },
        entries: 1,
        onRefused: (outcome) => refused.push(outcome),
        onPressure: (high) => pressure.push(high),
        ...options,
      });
      return Object.assign(writer, { id, refused, pressure });
    },
    call(at) {
      const one = calls[at];
      if (!one) throw new Error(`call ${at} of ${calls.length} was not made`);
      return one;
    },
  };
}
