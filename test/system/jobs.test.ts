import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  aliases,
  cancelJob,
  chat,
  complete,
  createJob,
  expectClosed,
  readEvents,
  upstreamOf,
  viewJob,
} from '../kit/api.ts';
import { contentOf, eventsOf, isTerminated } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const short = 'healthy:tokens=20';
const long = (seed: number) => `healthy:tokens=5000,pace=10,seed=${seed}`;
const paced = 'healthy:tokens=60,pace=20';
/** Ends when it is hurried. */
const slow = 'healthy:tokens=60,pace=1000';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 2,
    models: aliases(short, paced, slow, 'status:code=400', ...[1, 2, 3, 4, 5].map(long)),
  });
});
afterAll(() => fleet.close());
beforeEach(() => fleet.primary.reset());

/** Reads a job's events to their end. */
const wholeStory = async (id: string) => eventsOf((await readEvents(fleet.url, id).ended).text);

describe('a job', () => {
  it('is taken with 202 and told where its events are', async () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = await call(`${fleet.url}/v1/jobs`, {
      body: { endpoint: '/v1/chat/completions', body: chat(short) },
    });
    expect(answer.status).toBe(202);
    const job = jsonOf(answer) as Record<string, unknown> & { id: string };
    const { id } = job;
    expect(job).toEqual({
      id: expect.stringMatching(/^req_0_/),
      status: 'queued',
      created_at: expect.any(Number),
      events_url: `/v1/jobs/${id}/events`,
    });
    expect(job['created_at']).toBeGreaterThanOrEqual(before);
    expect(answer.headers['x-request-id']).toBe(id);
    expect(answer.headers.location).toBe(`/v1/jobs/${id}`);
  });

  it('has events from its attempt to its end', async () => {
    const id = await createJob(fleet.url, chat(short, { stream: true }));
    const events = (await wholeStory(id)).filter(({ event }) => event !== 'queued');
    expect(events[0]).toMatchObject({ event: 'attempt' });
    expect(JSON.parse(events[0]?.data ?? '')).toEqual({
      run: 1,
      attempt: 1,
      provider: 'primary',
      model: short,
      mode: 'start',
    });
    expect(contentOf(events)).toBe(expectedText({ tokens: 20 }));
    expect(events.at(-1)).toMatchObject({ event: 'done' });
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({
      status: 'completed',
      finish_reason: 'stop',
      usage: { completion_tokens: 20 },
      attempts: 1,
    });
    expect(events.every(({ id: entry }) => entry !== undefined)).toBe(true);
  });

  it('has metadata that every look at it can afford', async () => {
    const ask = (length: number) =>
      call(`${fleet.url}/v1/jobs`, {
        body: { body: chat(short), metadata: { note: 'x'.repeat(length - 11) } },
      });
    expect(await ask(65_536)).toMatchObject({ status: 202 });
    const refused = await ask(65_537);
    expect(refused).toMatchObject({ status: 400 });
    expect(errorOf(refused)).toMatchObject({ param: 'metadata', code: 'metadata_too_large' });
  });

  it.each([true, false])('has a result, with stream %s', async (isStream) => {
    const metadata = { order: 17, nested: { a: ['b'] } };
    const id = await createJob(fleet.url, chat(short, { stream: isStream }), { metadata });
    await wholeStory(id);
    const job = await viewJob(fleet.url, id);
    expect(job).toMatchObject({
      id,
      status: 'completed',
      metadata,
      usage: { completion_tokens: 20 },
      result: {
        object: 'chat.completion',
        choices: [
          {
            message: { role: 'assistant', content: expectedText({ tokens: 20 }) },
            finish_reason: 'stop',
          },
        ],
        usage: { completion_tokens: 20 },
      },
    });
    expect(job.finished_at).toBeGreaterThanOrEqual(job.created_at);
    expect(job).not.toHaveProperty('queue_position');
    const [{ first_token_at: firstToken, ...attempt } = {}, ...others] = job.attempts;
    expect(others).toEqual([]);
    expect(typeof firstToken).toBe(isStream ? 'number' : 'undefined');
    expect(attempt).toEqual({
      run: 1,
      attempt: 1,
      provider: 'primary',
      model: short,
      started_at: expect.any(Number),
      ended_at: expect.any(Number),
      outcome: 'completed',
      usage: expect.objectContaining({ completion_tokens: 20 }),
    });
  });

  it('that fails says why, in its events and in its status', async () => {
    const id = await createJob(fleet.url, chat('status:code=400', { stream: true }));
    const last = (await wholeStory(id)).at(-1);
    expect(last?.event).toBe('failed');
    const { status, error } = JSON.parse(last?.data ?? '') as { status: string; error: unknown };
    expect(status).toBe('failed');
    expect(error).toMatchObject({
      type: 'invalid_request_error',
      message: expect.stringContaining('simulated'),
    });
    const job = await viewJob(fleet.url, id);
    expect(job).toMatchObject({ status: 'failed', error });
    expect(job).not.toHaveProperty('result');
  });

  it('runs on without a reader, and is running meanwhile', async () => {
    const id = await createJob(fleet.url, chat(slow, { stream: true }));
    const reader = readEvents(fleet.url, id);
    await reader.until(({ text }) => text.includes('event: chunk'));
    reader.leave();
    expect(await viewJob(fleet.url, id)).toMatchObject({
      status: 'running',
      attempts: [{ outcome: 'running' }],
    });
    fleet.hurry();
    expect(contentOf(await wholeStory(id))).toBe(expectedText({ tokens: 60 }));
  });
});

describe('a deadline', () => {
  const create = (deadline: unknown) =>
    call(`${fleet.url}/v1/jobs`, { body: { body: chat(short), deadline } });

  it.each(['2020-01-31T12:00:00Z', '0s', 'soon', '10', 10, {}, '2030-01-31'])(
    'of %j is refused',
    async (deadline) => {
      const answer = await create(deadline);
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ param: 'deadline', type: 'invalid_request_error' });
    },
  );

  it.each(['1m', '250ms', '2099-01-31T12:00:00+02:00', null])(
    'of %j is taken',
    async (deadline) => {
      expect((await create(deadline)).status).toBe(202);
    },
  );
});

describe('cancelling', () => {
  it('ends a running job for every reader and closes the upstream call', async () => {
    const id = await createJob(fleet.url, chat(long(1), { stream: true }));
    const readers = fleet.ingresses.map(({ url }) => readEvents(url, id));
    for (const reader of readers) await reader.until(({ text }) => text.includes('event: chunk'));
    const upstream = await upstreamOf(fleet.primary, long(1));
    const at = Date.now();
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    await expectClosed(fleet.primary, upstream, at);
    for (const reader of readers) {
      const { text, how } = await reader.ended;
      expect(how).toBe('complete');
      expect(eventsOf(text).at(-1)).toMatchObject({
        event: 'cancelled',
        data: '{"status":"cancelled"}',
      });
    }
    // The worker adds what it knows of its attempt when it hears of the end.
    await expect
      .poll(() => viewJob(fleet.url, id))
      .toMatchObject({
        status: 'cancelled',
        attempts: [
          {
            outcome: 'cancelled',
            first_token_at: expect.any(Number),
            ended_at: expect.any(Number),
            usage: {
              prompt_tokens: expect.toSatisfy((tokens: number) => tokens > 0),
              completion_tokens: expect.toSatisfy((tokens: number) => tokens > 0),
            },
            estimated: true,
          },
        ],
      });
  });

  it('works on another ingress, and twice', async () => {
    const id = await createJob(fleet.url, chat(long(2)));
    const upstream = await upstreamOf(fleet.primary, long(2));
    const at = Date.now();
    const [first, second] = fleet.ingresses;
    const cancelled = { id, status: 'cancelled' };
    expect(await cancelJob(second?.url ?? '', id)).toEqual(cancelled);
    await expectClosed(fleet.primary, upstream, at);
    expect(await cancelJob(first?.url ?? '', id)).toEqual(cancelled);
    expect(await cancelJob(second?.url ?? '', id)).toEqual(cancelled);
    expect((await wholeStory(id)).filter(({ event }) => event === 'cancelled')).toHaveLength(1);
  });

  it('is when it finished', async () => {
    const id = await createJob(fleet.url, chat(paced, { stream: true }));
    const { created_at: created } = await viewJob(fleet.url, id);
    const reader = readEvents(fleet.url, id);
    // More than a second later.
    await reader.until(({ text }) => text.includes(' w55'));
    await cancelJob(fleet.url, id);
    expect((await viewJob(fleet.url, id)).finished_at).toBeGreaterThan(created);
  });

  it('leaves a finished job as it is', async () => {
    const id = await createJob(fleet.url, chat(short, { stream: true }));
    const story = await wholeStory(id);
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'completed' });
    expect((await viewJob(fleet.url, id)).status).toBe('completed');
    expect(await wholeStory(id)).toEqual(story.filter(({ event }) => event !== 'queued'));
  });

  it('ends a plain stream with a clear error', async () => {
    const plain = complete(fleet.url, chat(long(3), { stream: true }));
    const { headers } = await plain.head;
    const upstream = await upstreamOf(fleet.primary, long(3));
    const at = Date.now();
    await cancelJob(fleet.url, String(headers['x-request-id']));
    await expectClosed(fleet.primary, upstream, at);
    const events = eventsOf((await plain.ended).text);
    expect(isTerminated(events)).toBe(false);
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({
      error: { code: 'request_cancelled' },
    });
  });
});

describe('x-millrace-on-disconnect: keep', () => {
  it('lets a request run on, to be read where its client left it', async () => {
    const headers = { 'x-millrace-on-disconnect': 'keep', 'x-millrace-event-ids': 'on' };
    const plain = complete(fleet.url, chat(paced, { stream: true }), headers);
    const text = await plain.until(({ text }) => text.split('\n\n').length > 5);
    const id = String((await plain.head).headers['x-request-id']);
    plain.leave();
    const seen = eventsOf(text);
    const lastEventId = seen.at(-1)?.id;
    const other = fleet.ingresses[1]?.url ?? '';
    const rest = eventsOf((await readEvents(other, id, { lastEventId }).ended).text);
    expect(contentOf([...seen, ...rest])).toBe(expectedText({ tokens: 60 }));
    expect(rest.at(-1)?.event).toBe('done');
    expect((await viewJob(fleet.url, id)).status).toBe('completed');
  });

  it('lets one without stream run on, too', async () => {
    const model = long(4);
    const headers = { 'x-millrace-on-disconnect': 'keep' };
    const plain = complete(fleet.url, chat(model), headers);
    const upstream = await upstreamOf(fleet.primary, model);
    const left = plain.leave();
    // Another one, without the header, leaves later and is closed: so the first would be by now.
    const other = complete(fleet.url, chat(long(5)));
    const otherUpstream = await upstreamOf(fleet.primary, long(5));
    await expectClosed(fleet.primary, otherUpstream, other.leave());
    expect(fleet.primary.requests.find(({ number }) => number === upstream.number)?.state).toBe(
      'open',
    );
    expect(upstream.time).toBeLessThanOrEqual(left);
  });
});
