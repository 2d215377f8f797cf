import type { Bound } from '@millrace/shared/runtime/bounds';
import type { Config } from '@millrace/shared/config';

import type { Held } from '../run/port.ts';
import { maxRemembered } from '../upstream/selection/prompt-cache.ts';

export type BoundSources = {
  limits: Config['limits'];
  appender: { readonly heldChars: number };
  intake(): { running: number; waiting: number };
  held(): Held;
  /** Blocks of prompts that are remembered. */
  promptBlocks(): number;
  keeper: { readonly size: number };
  /** The bounds that every process has. */
  others: readonly Bound[];
};

/** The memory bounds of a worker; docs/bounds.md explains each. */
export const workerBounds = ({
  limits,
  appender,
  intake,
  held,
  promptBlocks,
  keeper,
  others,
}: BoundSources): Bound[] => [
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
    max: () => limits.waiting,
    read: () => intake().waiting,
  },
  {
    what: 'prompt_blocks',
    unit: 'entries',
    limit: 'maxRemembered',
    max: maxRemembered,
    read: promptBlocks,
  },
  {
    what: 'append_buffers',
    unit: 'bytes',
    limit: 'limits.appendBuffer',
    max: limits.appendBufferBytes,
    per: 'stream',
    read: () => appender.heldChars,
  },
  {
    what: 'attempt_buffers',
    unit: 'bytes',
    limit: 'limits.responseBody',
    max: limits.responseBodyBytes,
    per: 'attempt',
    read: () => held().attempts,
  },
  {
    what: 'shown_texts',
    unit: 'bytes',
    limit: 'limits.responseBody',
    max: limits.responseBodyBytes,
    per: 'run',
    read: () => held().delivered,
  },
  {
    what: 'renewed_leases',
    unit: 'entries',
    limit: 'limits.workerConcurrency',
    max: limits.workerConcurrency,
    read: () => keeper.size,
  },
  ...others,
];
