import type { WaitingJob } from '@millrace/shared/store/queue/waiting-list';
import type { LiveSample } from './sample.ts';

/* A fleet at rest, and a request that waits. */

export const emptySample = (): LiveSample => ({
  at: 10_000,
  workers: [],
  heard: 0,
  waiting: { jobs: [], waiting: 0, classes: { high: 0, normal: 0, low: 0 }, pausedShards: [] },
});

export const waitingJob = (id: string, more: Partial<WaitingJob> = {}): WaitingJob => ({
  id,
  position: 0,
  createdAt: 2000,
  data: {
    model: 'm',
    endpoint: '/v1/chat/completions',
    stream: true,
    reader: 'plain',
    attached: true,
    targets: [{ provider: 'p', model: 'x' }],
    standing: { priority: 'normal', key: 'k', weight: 1, bytes: 10 },
    createdAt: 2000,
  },
  ...more,
});
