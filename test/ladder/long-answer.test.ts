import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, createJob, eventsOf } from '../fault/client.ts';
import { expectWhole, readPlain, readStory } from '../fault/judge.ts';
import { startFleet } from '../harness/fleet.ts';
import type { Fleet } from '../harness/fleet.ts';
import { expectedText } from '../simulator/index.ts';

// What a worker keeps of the text that was shown, to go on from, is bounded.

const keptChars = 1024;
const text = expectedText({ tokens: 600 });
const cutAfter = (tokens: number) => ({
  targets: [
    { provider: 'primary', model: `cut:after=${tokens},tokens=600` },
    { provider: 'backup', model: 'prefill:tokens=600', prefill: true },
  ],
});

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    models: {
      early: cutAfter(40),
      late: cutAfter(500),
      never: 'healthy:tokens=600',
    },
    config: { limits: { responseBody: `${keptChars}B` } },
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
