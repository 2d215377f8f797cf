import { openAiChat } from '@millrace/formats/openai-chat/provider';
import { describe, expect, it } from 'vitest';
import { createKeyRing, keyName } from './key-ring.ts';

const model = 'm';

function setUp(keys: string[] = ['sk-one', 'sk-two']) {
  const clock = { now: 1_000_000 };
  const shared: unknown[] = [];
  const aside: unknown[] = [];
  const ring = createKeyRing({
    provider: 'p',
    keys,
    readLimits: openAiChat.readLimits,
    now: () => clock.now,
    share: (fact) => shared.push(fact),
    onAside: (one) => aside.push(one),
  });
  /** Answers the next call. */
  const answer = (status: number, headers: Record<string, string> = {}) => {
    const lease = ring.take(model);
    lease.used(headers, status);
    return lease.apiKey;
  };
  const until = () => {
    const check = ring.check(model);
    return check.kind === 'no' ? check.until - clock.now : 0;
  };
  return { clock, ring, shared, aside, answer, until };
}

const left = (requests: number, of = 100) => ({
  'x-ratelimit-remaining-requests': String(requests),
  'x-ratelimit-limit-requests': String(of),
  'x-ratelimit-reset-requests': '30s',
});

describe('the choice of a key', () => {
  it('goes round while nothing is known', () => {
    const { answer } = setUp(['a', 'b', 'c']);
    const taken = Array.from({ length: 6 }, () => answer(200));
    expect(taken).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  it('takes the one with the most left, by the newest answers', () => {
    const { answer } = setUp();
    expect(answer(200, left(10))).toBe('sk-one');
    expect(answer(200, left(80))).toBe('sk-two');
    expect(answer(200, left(79))).toBe('sk-two');
    expect(answer(200, left(5))).toBe('sk-two');
    expect(answer(200, left(50))).toBe('sk-one');
  });

  it('counts what is under way since the answer that told', () => {
    const { answer, ring } = setUp();
    answer(200, left(40, 40));
    answer(200, left(30, 40));
    const taken = Array.from({ length: 40 }, () => ring.take(model).apiKey);
    expect(taken.slice(0, 5)).toEqual(Array(5).fill('sk-one'));
    const ones = taken.filter((key) => key === 'sk-one').length;
    expect(ones).toBeGreaterThan(22);
    expect(ones).toBeLessThan(28);
  });

  it('takes what was said before a reset for old', () => {
    const { answer, clock } = setUp();
    answer(200, left(10));
    answer(200, left(50));
    clock.now += 30_000;
    expect(answer(200, left(50))).toBe('sk-one');
  });

  it('is none where the provider has no keys, and its quota counts all the same', () => {
    const { ring, answer, until } = setUp([]);
    expect(ring.take(model).apiKey).toBeUndefined();
    answer(429, { 'retry-after': '7' });
    expect(until()).toBe(7000);
  });
});

describe('a key that got a 429', () => {
  it('is left alone for as long as the provider says', () => {
    const { answer, until, clock } = setUp();
    expect(answer(429, { 'retry-after': '20' })).toBe('sk-one');
    expect(until()).toBe(0);
    expect([answer(200), answer(200)]).toEqual(['sk-two', 'sk-two']);
    expect(answer(429, { 'retry-after': '8' })).toBe('sk-two');
    expect(until()).toBe(8000);
    clock.now += 8000;
    expect(answer(200)).toBe('sk-two');
    clock.now += 12_000;
    expect(answer(200)).toBe('sk-one');
  });

  it('is left alone until its reset where that is all that is said', () => {
    const { answer, until } = setUp(['a']);
    answer(429, { ...left(0), 'x-ratelimit-reset-requests': '12s' });
    expect(until()).toBe(12_000);
  });

  it('is left alone longer each time where nothing is said, up to a minute', () => {
    const { answer, until, clock } = setUp(['a']);
    const pauses = Array.from({ length: 8 }, () => {
      answer(429);
      const pause = until();
      clock.now += pause;
      return pause;
    });
    expect(pauses.map((ms) => ms / 1000)).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    answer(200);
    answer(429);
    expect(until()).toBe(1000);
  });

  it('counts once where many were under way', () => {
    const { ring, until } = setUp(['a']);
    const leases = Array.from({ length: 5 }, () => ring.take(model));
    for (const lease of leases) lease.used({}, 429);
    expect(until()).toBe(1000);
  });

  it('can be asked for another model', () => {
    const { answer, ring } = setUp(['a']);
    answer(429);
    expect(ring.check(model).kind).toBe('no');
    expect(ring.check('other').kind).toBe('yes');
  });
});

describe('a key that is refused', () => {
  it('is set aside for every model while there is another, longer each time, up to ten minutes', () => {
    const { answer, clock, ring, aside } = setUp(['a', 'b']);
    const pauses = Array.from({ length: 6 }, (_, i) => {
      expect(answer(401)).toBe('a');
      expect(ring.take('other').apiKey).toBe('b');
      const { forMs } = aside[i] as { forMs: number };
      clock.now += forMs;
      return forMs / 60_000;
    });
    expect(pauses).toEqual([1, 2, 4, 8, 10, 10]);
    expect(aside[0]).toEqual({ provider: 'p', index: 0, status: 401, forMs: 60_000 });
  });

  it('is asked all the same where there is no other: the provider says why it refuses', () => {
    const { answer, until } = setUp(['a']);
    answer(401);
    expect(until()).toBe(0);
    answer(429);
    expect(until()).toBe(1000);
  });

  it('may get a 403 for one request, but not three in a row', () => {
    const { answer, aside } = setUp(['a']);
    for (const status of [403, 403, 200, 403, 403]) answer(status);
    expect(aside).toEqual([]);
    answer(403);
    expect(aside).toMatchObject([{ status: 403, forMs: 60_000 }]);
  });
});

describe('a key of which the body of an answer tells', () => {
  it.each([
    ['upstream_auth_failed', 400],
    ['upstream_auth_failed', 200],
    ['upstream_quota_exceeded', 429],
    ['upstream_quota_exceeded', 400],
  ] as const)('%s with status %i is set aside while there is another', (code, status) => {
    const { ring, aside, answer, shared } = setUp();
    const lease = ring.take(model);
    lease.used({}, status);
    lease.failed({ code, message: 'm' });
    expect(lease.hasOther()).toBe(true);
    expect(aside).toEqual([{ provider: 'p', index: 0, status, forMs: 60_000 }]);
    expect(shared).toContainEqual({
      kind: 'aside',
      provider: 'p',
      key: keyName('sk-one'),
      ms: 60_000,
    });
    expect([answer(200), answer(200)]).toEqual(['sk-two', 'sk-two']);
  });

  it.each([200, 429])(
    'is left alone for the time that is named there, with status %i',
    (status) => {
      const { ring, until, clock } = setUp(['sk-one']);
      const lease = ring.take(model);
      lease.used({}, status);
      lease.failed({ code: 'upstream_rate_limited', message: 'm', retryAfterMs: 48_000 });
      expect(until()).toBe(48_000);
      clock.now += 48_000;
      expect(until()).toBe(0);
    },
  );

  it('tells why it is left alone, and never in the words that the provider had for one request', () => {
    const { ring, clock } = setUp(['sk-one']);
    const fault = { code: 'upstream_rate_limited', message: 'Slow down.' } as const;
    const neutral = {
      code: 'upstream_rate_limited',
      message: expect.stringContaining('rate limit'),
    };
    expect(ring.limit(model)).toBeUndefined();
    ring.learn({ kind: 'cooled', provider: 'p', key: keyName('sk-one'), model, ms: 5000 });
    expect(ring.limit(model)).toEqual(neutral);
    clock.now += 5000;
    expect(ring.limit(model)).toBeUndefined();
    const lease = ring.take(model);
    lease.used({ 'retry-after': '9' }, 429);
    expect(ring.limit(model)).toEqual(neutral);
    lease.failed(fault);
    expect(ring.limit(model)).toEqual(neutral);
    expect(ring.limit('another')).toBeUndefined();
    clock.now += 9000;
    // It has been well since: what it said then is no reason now.
    ring.take(model).used(left(0), 200);
    expect(ring.limit(model)).toEqual(neutral);
  });

  it('is left alone for a second where no time is named and its head was well', () => {
    const { ring, until } = setUp(['sk-one']);
    const lease = ring.take(model);
    lease.used({}, 200);
    lease.failed({ code: 'upstream_rate_limited', message: 'm' });
    expect(until()).toBe(1000);
  });

  it('is as good as before after any other fault', () => {
    const { ring, until, aside } = setUp(['sk-one']);
    const lease = ring.take(model);
    lease.used({}, 500);
    lease.failed({ code: 'upstream_server_error', message: 'm' });
    expect([until(), aside]).toEqual([0, []]);
  });
});

describe('a quota that is used up', () => {
  it('closes the key before anybody is refused, until its reset', () => {
    const { answer, until, clock } = setUp(['a']);
    answer(200, left(0));
    expect(until()).toBe(30_000);
    clock.now += 30_000;
    expect(until()).toBe(0);
  });

  it('closes it too when all that is left is under way, and opens it when less was used', () => {
    const { answer, ring, until } = setUp(['a']);
    answer(200, left(2));
    const leases = [ring.take(model), ring.take(model)];
    expect(until()).toBe(30_000);
    leases[0]?.end();
    expect(until()).toBe(0);
  });

  it('counts only what began after the call that told: the provider has counted the others', () => {
    const { answer, ring, until } = setUp(['a']);
    for (let i = 0; i < 5; i++) ring.take(model);
    answer(200, left(3));
    expect(until()).toBe(0);
    for (let i = 0; i < 3; i++) ring.take(model);
    expect(until()).toBe(30_000);
  });

  it('counts the tokens of what is under way', () => {
    const { ring, until } = setUp(['a']);
    const tokens = { 'x-ratelimit-remaining-tokens': '1000', 'x-ratelimit-reset-tokens': '4s' };
    ring.take(model).used(tokens, 200);
    ring.take(model, () => 900);
    expect(until()).toBe(0);
    ring.take(model, () => 900);
    expect(until()).toBe(4000);
  });

  it('is asked again after a minute, whatever its reset says', () => {
    const { answer, until, clock } = setUp(['a']);
    answer(200, { ...left(0), 'x-ratelimit-reset-requests': '24h' });
    expect(until()).toBe(60_000);
    clock.now += 60_000;
    expect(until()).toBe(0);
  });
});

describe('what the fleet hears', () => {
  it('names a key by its hash, and closes the key in another worker', () => {
    const one = setUp();
    const other = setUp();
    one.answer(429, { 'retry-after': '20' });
    one.answer(401);
    const { ring: _, ...heard } = one;
    const facts = heard.shared as Parameters<typeof other.ring.learn>[0][];
    expect(facts).toEqual([
      { kind: 'cooled', provider: 'p', key: keyName('sk-one'), model, ms: 20_000 },
      { kind: 'aside', provider: 'p', key: keyName('sk-two'), ms: 60_000 },
    ]);
    expect(keyName('sk-one')).toMatch(/^[0-9a-f]{8}$/);
    for (const fact of facts) other.ring.learn(fact);
    expect(other.until()).toBe(20_000);
    expect(other.ring.check('other').kind).toBe('yes');
    other.ring.learn({ kind: 'aside', provider: 'p', key: 'of nobody', ms: 1 });
  });

  it('is not what goes well', () => {
    const { answer, shared } = setUp();
    answer(200, left(50));
    answer(500);
    expect(shared).toEqual([]);
  });
});

it('a snapshot holds no key', () => {
  const { answer, ring } = setUp();
  answer(429);
  answer(401);
  expect(JSON.stringify(ring.snapshot())).not.toContain('sk-');
  expect(ring.snapshot()[1]).toMatchObject({ index: 1, asideUntil: 1_060_000 });
});
