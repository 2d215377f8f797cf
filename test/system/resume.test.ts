import { EventSource } from 'eventsource';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aliases, chat, complete, createJob, readEvents, viewJob } from '../kit/api.ts';
import { startCuttingProxy } from '../kit/cutting-proxy.ts';
import { contentOf, eventsOf, isTerminated, keptEvents } from '../kit/events.ts';
import type { SseEvent } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { errorOf } from '../kit/http.ts';
import { sdkDecoders } from '../kit/sdk-decoders.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const tokens = 150;
const paced = `healthy:tokens=${tokens},pace=10,vendor=1`;
const short = 'healthy:tokens=20';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ ingresses: 2, models: aliases(paced, short) });
});
afterAll(() => fleet.close());

const ingress = (number: number): string =>
  fleet.ingresses[number % fleet.ingresses.length]?.url ?? '';

const startJob = (model: string) =>
  createJob(fleet.url, chat(model, { stream: true, stream_options: { include_usage: true } }));

/** What every reader must see of a job that has ended. */
const storyOf = async (id: string): Promise<SseEvent[]> =>
  keptEvents((await readEvents(ingress(0), id).ended).text);

describe('a reader that comes back', () => {
  it('loses nothing and gets nothing twice, on whichever ingress, cut wherever', async () => {
    const id = await startJob(paced);
    const seen: SseEvent[] = [];
    // Places in the text of one connection: in the head, in the middle of an event, further on.
    for (const [number, place] of [1, 250, 601, 1500, 40, 2222, 5000, 333].entries()) {
      const last = seen.at(-1)?.id;
      // By turns as EventSource does it, and by the query.
      const from = number % 2 === 0 ? { lastEventId: last } : { after: last };
      const reader = readEvents(ingress(number), id, from);
      const text = await reader.until(({ text }) => text.length >= place);
      reader.leave();
      seen.push(...keptEvents(text.slice(0, place)));
    }
    expect(seen.length).toBeGreaterThan(10);
    expect(seen.at(-1)?.event).toBe('chunk');
    const rest = readEvents(ingress(1), id, { lastEventId: seen.at(-1)?.id });
    seen.push(...keptEvents((await rest.ended).text));
    expect(seen).toEqual(await storyOf(id));
    expect(contentOf(seen)).toBe(expectedText({ tokens }));
  });

  it('gets the exact rest of a finished stream, from every place in it', async () => {
    const id = await startJob(short);
    const story = await storyOf(id);
    expect(story.length).toBeGreaterThan(20);
    for (const [place, { id: after }] of story.slice(0, -1).entries()) {
      const { text } = await readEvents(ingress(place), id, { after }).ended;
      expect(eventsOf(text)).toEqual(story.slice(place + 1));
    }
  });

  it('is believed by its header, where the URL says an older place', async () => {
    const id = await startJob(short);
    const story = await storyOf(id);
    const places = { after: story[2]?.id, lastEventId: story[10]?.id };
    const { text } = await readEvents(ingress(0), id, places).ended;
    expect(eventsOf(text)).toEqual(story.slice(11));
  });

  it('after the last event is told to stay away', async () => {
    const id = await startJob(short);
    const last = (await storyOf(id)).at(-1)?.id;
    for (const from of [{ lastEventId: last }, { after: last }]) {
      const answer = await readEvents(ingress(1), id, from).ended;
      expect(answer.status).toBe(204);
      expect(answer.text).toBe('');
    }
  });
});

describe('a plain stream', () => {
  const body = (model: string) => chat(model, { stream: true });
  const again = (model: string, headers: Record<string, string>) =>
    complete(ingress(1), body(model), headers).ended;

  it('has no ids unless its client asks for them', async () => {
    const idsOf = async (headers: Record<string, string>) => {
      const { text } = await again(short, headers);
      expect(isTerminated(eventsOf(text))).toBe(true);
      return keptEvents(text).length;
    };
    expect(await idsOf({})).toBe(0);
    expect(await idsOf({ 'x-millrace-event-ids': 'off', 'last-event-id': '0-0' })).toBe(0);
    expect(await idsOf({ 'x-millrace-event-ids': 'on' })).toBeGreaterThan(20);
    expect(await idsOf({ 'last-event-id': '0-0' })).toBeGreaterThan(20);
  });

  it('that is asked for again by its Idempotency-Key goes on behind Last-Event-ID', async () => {
    const headers = { 'idempotency-key': 'plain-again', 'x-millrace-event-ids': 'on' };
    const whole = eventsOf((await complete(ingress(0), body(short), headers).ended).text);
    for (const place of [0, 7, whole.length - 2]) {
      const { text } = await again(short, { ...headers, 'last-event-id': whole[place]?.id ?? '' });
      expect(eventsOf(text)).toEqual(whole.slice(place + 1));
    }
  });

  it.each([
    ['made new', undefined, '999999-1'],
    ['made new with an Idempotency-Key', 'never-used', '1-1'],
    ['read again', 'plain-ahead', '999999-1'],
    ['read again from a place behind its end', 'plain-ahead', '1-1000'],
  ])('that is %s has no entry that its log has not: 410', async (_what, key, cursor) => {
    await complete(ingress(0), body(short), { 'idempotency-key': 'plain-ahead' }).ended;
    const headers = { 'last-event-id': cursor, ...(key && { 'idempotency-key': key }) };
    const answer = await again(short, headers);
    expect(answer).toMatchObject({ status: 410, headers: { 'x-should-retry': 'false' } });
    expect(errorOf(answer)).toMatchObject({ code: 'cursor_ahead', param: 'Last-Event-ID' });
  });

  it('that cannot go on leaves no new request behind, also where it would be kept', async () => {
    const answer = await again(paced, {
      'idempotency-key': 'never-used-and-kept',
      'last-event-id': '1-1',
      'x-millrace-on-disconnect': 'keep',
    });
    expect(answer.status).toBe(410);
    const id = String(answer.headers['x-request-id']);
    await expect.poll(async () => (await viewJob(fleet.url, id)).status).toBe('cancelled');
  });

  it.each([
    ['last-event-id', 'x', 'invalid_cursor'],
    ['x-millrace-event-ids', 'yes', null],
  ])('with %s: %s is refused', async (header, value, code) => {
    const answer = await again(short, { [header]: value });
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ code });
  });
});

describe('an entry id', () => {
  it('is greater than the one before, within a run', async () => {
    const story = await storyOf(await startJob(paced));
    const places = story.map(({ id }) => id?.split('-').map(Number) ?? []);
    expect(new Set(places.map(([run]) => run))).toEqual(new Set([1]));
    const numbers = places.map(([, number]) => number ?? NaN);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

describe('many readers at once', () => {
  it('on two ingresses, from the start and in the middle, see the same', async () => {
    const id = await startJob(paced);
    const readers = Array.from({ length: 10 }, (_, number) => readEvents(ingress(number), id));
    await readers[0]?.until(({ text }) => text.includes('event: chunk'));
    readers.push(...Array.from({ length: 10 }, (_, number) => readEvents(ingress(number), id)));
    const texts = await Promise.all(readers.map(async ({ ended }) => (await ended).text));
    const story = await storyOf(id);
    for (const text of texts) expect(keptEvents(text)).toEqual(story);
    expect(contentOf(story)).toBe(expectedText({ tokens }));
  });

  it('see the same again after its end', async () => {
    const id = await startJob(short);
    const story = await storyOf(id);
    const readers = Array.from({ length: 20 }, (_, number) => readEvents(ingress(number), id));
    for (const { ended } of readers) expect(eventsOf((await ended).text)).toEqual(story);
  });
});

describe('an EventSource', () => {
  it('is told to come back soon, and nothing of it is taken for an event', async () => {
    const { text } = await readEvents(ingress(0), await startJob(short)).ended;
    const retry = /^retry: (\d+)\n/.exec(text)?.[1];
    expect(Number(retry)).toBeGreaterThanOrEqual(100);
    expect(Number(retry)).toBeLessThan(1000);
    const decode = sdkDecoders['openai-python']();
    const messages = text
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => decode(line) ?? []);
    expect(messages.map(({ data }) => data)).toEqual(eventsOf(text).map(({ data }) => data));
  });

  it('whose connection is cut again and again ends with the whole text, once', async () => {
    const id = await startJob(paced);
    const proxy = await startCuttingProxy(ingress(1), [700, 5000, 1234, 9001, 300]);
    const source = new EventSource(`${proxy.url}/v1/jobs/${id}/events`);
    const seen: SseEvent[] = [];
    for (const event of ['attempt', 'chunk', 'done']) {
      source.addEventListener(event, ({ data, lastEventId }) => {
        seen.push({ event, id: lastEventId, data: String(data) });
      });
    }
    // It comes back after the end as well, and a 204 is what makes it stop.
    const code = await new Promise((resolve) => {
      source.addEventListener('error', (event) => {
        if (source.readyState === source.CLOSED) resolve(event.code);
      });
    });
    expect(code).toBe(204);
    expect(seen).toEqual(await storyOf(id));
    expect(contentOf(seen)).toBe(expectedText({ tokens }));
    expect(proxy.connections).toBeGreaterThan(5);
    await proxy.close();
  });
});
