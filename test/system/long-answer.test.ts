import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, createJob, eventsOf } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// What a worker keeps of the text that was shown, to go on from, is bounded.

const keptChars = 1024;
/** Of the lines in the log of a stream: more than an answer of 450 tokens takes, and a retry of it. */
const logChars = 256 * 1024;
const text = expectedText({ tokens: 450 });
const cutAfter = (tokens: number) => ({
  targets: [
    { provider: 'primary', model: `cut:after=${tokens},tokens=450` },
    { provider: 'backup', model: 'prefill:tokens=450', prefill: true },
  ],
});

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    models: {
      early: cutAfter(40),
      late: cutAfter(300),
      never: 'healthy:tokens=450',
      endless: 'healthy:tokens=100000,pace=1',
    },
    config: { limits: { responseBody: `${keptChars}B`, streamLog: `${logChars}B` } },
  });
});
afterAll(() => fleet.close());

describe('an answer that is longer than what is kept of it', () => {
  it('is whole where nothing fails, and where something fails before that', async () => {
    expect(text.length).toBeGreaterThan(2 * keptChars);
    await expectWhole(ask(fleet.url, 'never'), text);
    await expectWhole(ask(fleet.url, 'early'), text);
  });

  it('is a true beginning and one clear error for a plain reader', async () => {
    const asked = fleet.backup.requests.length;
    const { text: shown, error } = await readPlain(ask(fleet.url, 'late'));
    expect(shown.length).toBeGreaterThan(keptChars);
    expect(text.startsWith(shown)).toBe(true);
    expect(error?.code).toBe('upstream_failed_mid_stream');
    expect(fleet.backup.requests).toHaveLength(asked);
  });

  it('is a fresh one for a native reader', async () => {
    const story = readStory(await eventsOf(fleet.url, await createJob(fleet.url, 'late')));
    expect(story).toMatchObject({ end: 'done', text });
    expect(story.takenBack).toHaveLength(1);
    expect(story.takenBack[0]?.length).toBeGreaterThan(keptChars);
  });
});

describe('an answer that does not end', () => {
  const tooLarge = { code: 'response_too_large', type: 'server_error' };

  it('is ended with a clear error for every kind of reader, and no other target is asked', async () => {
    const asked = fleet.primary.requests.length;
    const plain = readPlain(ask(fleet.url, 'endless'));
    const id = await createJob(fleet.url, 'endless');
    const events = await eventsOf(fleet.url, id);
    expect((await plain).error).toMatchObject(tooLarge);
    expect(readStory(events)).toMatchObject({ end: 'failed', data: { error: tooLarge } });
    const log = events.map(({ data }) => data).join('');
    expect(log.length).toBeGreaterThan(logChars / 2);
    expect(log.length).toBeLessThan(logChars * 1.5);
    expect(fleet.primary.requests).toHaveLength(asked + 2);
    await expect
      .poll(() => fleet.primary.requests.slice(asked).map(({ state }) => state))
      .toEqual(['aborted by client', 'aborted by client']);
  });
});
