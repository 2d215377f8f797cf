import type { Bound } from '@millrace/shared/bounds';
import type { Config } from '@millrace/shared/config';

export type BoundSources = {
  limits: Config['limits'];
  appender: { readonly heldChars: number };
  intake(): { running: number; waiting: number };
};

/** What a worker holds in memory, and how much it may: docs/bounds.md tells of each. */
export const workerBounds = ({ limits, appender, intake }: BoundSources): Bound[] => [
  {
    what: 'runs',
    unit: 'entries',
    limit: 'limits.workerConcurrency',
    max: limits.workerConcurrency,
    read: () => intake().running,
  },
  {
    what: 'waiting_for_target',
    unit: 'entries',
    limit: 'limits.waiting',
    max: limits.waiting,
    read: () => intake().waiting,
  },
  {
    what: 'append_buffers',
    unit: 'bytes',
    limit: 'limits.appendBuffer',
    max: limits.appendBufferBytes,
    per: 'stream',
    read: () => appender.heldChars,
  },
];
