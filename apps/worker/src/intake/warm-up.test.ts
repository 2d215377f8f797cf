import { decodeEntry } from '@millrace/shared/domain/entry';
import { keyspace } from '@millrace/shared/store/keys';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { expect, it } from 'vitest';
import { warmUp } from './warm-up.ts';

const keys = keyspace('warm-up-test');

it('goes the whole way of a takeover with each stream', async () => {
  const ended: { outcome: ActivationOutcome; lines: readonly string[] }[] = [];
  await warmUp({
    keys,
    streams: 30,
    withinMs: 60_000,
    onEnded: (outcome, lines) => ended.push({ outcome, lines }),
  });
  expect(ended).toHaveLength(30);
  for (const { outcome, lines } of ended) {
    expect(outcome).toEqual({ kind: 'completed', summary: 'stop', jobEnded: true });
    const entries = lines.map(decodeEntry);
    expect(entries.slice(0, 3)).toMatchObject([
      { kind: 'attempt_end', data: { attempt: 1, outcome: 'worker_lost' } },
      { kind: 'attempt', data: { attempt: 2, provider: 'warm-up', mode: 'continue' } },
      { kind: 'seam', data: { attempt: 2, rung: 'continue', outcome: 'passed' } },
    ]);
    const text = entries.map((entry) => (entry.kind === 'chunk' ? entry.text : '')).join('');
    expect(text.match(/word\d+/g)).toEqual(Array.from({ length: 20 }, (_, i) => `word${20 + i}`));
    expect(entries.at(-1)).toMatchObject({ kind: 'done', data: { finishReason: 'stop' } });
  }
});

it('begins no more when its time is over', async () => {
  let ended = 0;
  await warmUp({ keys, streams: 100, withinMs: 0, onEnded: () => (ended += 1) });
  expect(ended).toBe(0);
});
