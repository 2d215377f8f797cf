import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unknownLast, visibleUsage } from './visible-usage.ts';
import type { AnswerFacts, LastAttempt } from './visible-usage.ts';

type Given = Partial<Omit<AnswerFacts, 'last' | 'prompt'>> & { prompt?: number } & {
  last?: Partial<Omit<LastAttempt, 'asked'>> & { asked?: number };
};

const factsOf = ({ prompt = 10, last = {}, ...rest }: Given): AnswerFacts => {
  const { asked = prompt, ...more } = last;
  return {
    prompt: () => prompt,
    promptReport: undefined,
    deliveredBefore: 0,
    deliveredByLast: 0,
    ...rest,
    last: { ...unknownLast, ...more, asked: () => asked },
  };
};
const usageOf = (given: Given) => visibleUsage(factsOf(given));

const counts = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});

describe('the usage of an answer that one target made as a whole', () => {
  const usage = { ...counts(100, 10), prompt_tokens_details: { cached_tokens: 3 }, cost: 0.1 };

  it.each([undefined, 'replay'] as const)(
    'is that target’s report as it is (strategy: %s)',
    (strategy) => {
      const promptReport = counts(7, 7);
      expect(
        usageOf({ deliveredBefore: 5, promptReport, last: { strategy, cost: { usage } } }),
      ).toBe(usage);
    },
  );

  it('has the reported prompt where only the answer had to be estimated', () => {
    const cost = { usage: { ...usage, completion_tokens: 12 }, estimated: 'completion' } as const;
    expect(usageOf({ deliveredByLast: 9, last: { cost } })).toEqual({
      ...counts(100, 12),
      prompt_tokens_details: { cached_tokens: 3 },
      estimated: true,
    });
  });

  it('has the prompt that another target reported where this one reported nothing', () => {
    const cost = { usage: counts(14, 12), estimated: 'all' } as const;
    const given = {
      prompt: 14,
      deliveredBefore: 5,
      deliveredByLast: 7,
      last: { strategy: 'replay', cost },
    } as const;
    expect(usageOf(given)).toEqual({ ...counts(14, 12), estimated: true });
    expect(usageOf({ ...given, promptReport: counts(11, 3) })).toEqual({
      ...counts(11, 12),
      estimated: true,
    });
  });

  it('is counted from the text where nothing is known but that', () => {
    expect(usageOf({ prompt: 8.25, deliveredByLast: 3.5 })).toEqual({
      ...counts(9, 4),
      estimated: true,
    });
  });
});

describe('the usage of an answer that was put together', () => {
  it('has the prompt that the first target reported, with its details and no others', () => {
    const promptReport = {
      ...counts(25, 3),
      prompt_tokens_details: { cached_tokens: 20 },
      cache_read_input_tokens: 20,
      completion_tokens_details: { reasoning_tokens: 3 },
    };
    const usage = { ...counts(900, 20), prompt_tokens_details: { cached_tokens: 800 }, cost: 1 };
    const last = { strategy: 'continue', cost: { usage }, asked: 700, sent: 20 } as const;
    expect(usageOf({ promptReport, deliveredBefore: 30, deliveredByLast: 20, last })).toEqual({
      ...counts(25, 50),
      prompt_tokens_details: { cached_tokens: 20 },
      cache_read_input_tokens: 20,
      estimated: true,
    });
  });

  it('has the caller’s share of the last prompt where no other target reported it', () => {
    const usage = { ...counts(300, 20), prompt_tokens_details: { cached_tokens: 256 } };
    const last = { strategy: 'anchor', cost: { usage }, asked: 150, sent: 20 } as const;
    expect(usageOf({ prompt: 10, deliveredBefore: 30, deliveredByLast: 20, last })).toEqual({
      ...counts(20, 50),
      estimated: true,
    });
  });

  it('counts the shown text at the rate of the target that reported its own', () => {
    // Chinese, with a tokenizer that takes 1.3 tokens for a character.
    const cost = { usage: counts(300, 130) };
    const last = { strategy: 'continue', cost, asked: 150, sent: 100 } as const;
    expect(usageOf({ deliveredBefore: 200, deliveredByLast: 100, last })).toMatchObject({
      completion_tokens: 390,
    });
  });

  it('does not believe the rate of a target that said next to nothing', () => {
    const last = { strategy: 'continue', cost: { usage: counts(300, 9) }, sent: 1 } as const;
    expect(usageOf({ deliveredBefore: 200, deliveredByLast: 1, last })).toMatchObject({
      completion_tokens: 209,
    });
  });

  it('counts an answer once that was to go on and began anew, and that count is exact', () => {
    const cost = {
      usage: { ...counts(70, 30), completion_tokens_details: { reasoning_tokens: 4 } },
    };
    const last = { strategy: 'continue', cost, asked: 60, sent: 28 } as const;
    const given = { promptReport: counts(40, 1), deliveredBefore: 20, deliveredByLast: 8, last };
    expect(usageOf(given)).toEqual({
      ...counts(40, 30),
      completion_tokens_details: { reasoning_tokens: 4 },
    });
  });

  it('counts reasoning once, also where a provider has it in the total only', () => {
    const details = { completion_tokens_details: { reasoning_tokens: 196 } };
    const beside = { prompt_tokens: 291, completion_tokens: 26, total_tokens: 513, ...details };
    const within = { ...counts(291, 222), ...details };
    for (const usage of [beside, within]) {
      const last = { strategy: 'continue', cost: { usage }, sent: 26 } as const;
      expect(
        usageOf({ promptReport: counts(9, 1), deliveredBefore: 52, deliveredByLast: 26, last }),
      ).toEqual({
        ...counts(9, 196 + 26 + 52),
        ...details,
        estimated: true,
      });
    }
  });

  it('is estimated as a whole where the last target reported nothing', () => {
    const cost = { usage: counts(140, 20), estimated: 'all' } as const;
    const last = { strategy: 'continue', cost, asked: 140, sent: 20 } as const;
    expect(usageOf({ prompt: 10, deliveredBefore: 30, deliveredByLast: 20, last })).toEqual({
      ...counts(10, 50),
      estimated: true,
    });
  });
});

describe('whatever attempts, texts and reports an answer is put together from,', () => {
  const tokens = fc.integer({ min: 0, max: 16_000 }).map((n) => n / 16);
  const amount = fc.integer({ min: 0, max: 100_000 });
  const detail = fc.record(
    { reasoning_tokens: amount, cached_tokens: amount },
    { requiredKeys: [] },
  );
  const report = fc.record(
    {
      prompt_tokens: fc.oneof(amount, fc.constantFrom(null, 'x', -1, 0)),
      completion_tokens: fc.oneof(amount, fc.constantFrom(null, 'x', -1, 0)),
      total_tokens: fc.oneof(amount, fc.constant(null)),
      prompt_tokens_details: fc.oneof(detail, fc.constant(null)),
      completion_tokens_details: fc.oneof(detail, fc.constant(null)),
      cost: fc.double(),
    },
    { requiredKeys: [] },
  );
  const facts = fc.record({
    prompt: tokens,
    promptReport: fc.option(report, { nil: undefined }),
    deliveredBefore: tokens,
    deliveredByLast: tokens,
    last: fc.record({
      strategy: fc.constantFrom('continue', 'anchor'),
      cost: fc.record(
        { usage: report, estimated: fc.constantFrom('all', 'completion') },
        { requiredKeys: [] },
      ),
      asked: tokens,
      sent: tokens,
    }),
  });

  it('every count is a whole number, the total is their sum, and no detail of the answer exceeds it', () => {
    fc.assert(
      fc.property(facts, (given) => {
        const usage = usageOf(given);
        const { prompt_tokens: prompt, completion_tokens: completion } = usage;
        for (const one of [prompt, completion]) {
          expect(Number.isSafeInteger(one) && Number(one) >= 0).toBe(true);
        }
        expect(usage['total_tokens']).toBe(Number(prompt) + Number(completion));
        expect(usage).not.toHaveProperty('cost');
      }),
      { numRuns: 2000 },
    );
  });

  it('a continuation’s enlarged prompt is never the caller’s', () => {
    fc.assert(
      fc.property(facts, fc.integer({ min: 1, max: 1000 }), (given, prompt) => {
        const last = { ...given.last, asked: 2 * prompt, cost: { usage: counts(500, 5) } };
        const usage = usageOf({ ...given, prompt, promptReport: undefined, last });
        expect(usage).toMatchObject({ prompt_tokens: 250, estimated: true });
        const promptReport = counts(prompt, 1);
        expect(usageOf({ ...given, promptReport, last })).toMatchObject({ prompt_tokens: prompt });
      }),
    );
  });

  it('the same answer has the same count, wherever it was cut and whatever was repeated', () => {
    const scenario = fc.record({
      /** Of the whole answer, estimated. */
      whole: fc.integer({ min: 64, max: 8000 }).map((n) => n / 4),
      cut: fc.double({ min: 0.01, max: 0.9, noNaN: true }),
      repeated: fc.double({ min: 0, max: 1, noNaN: true }),
      /** Real tokens of the target for an estimated one. */
      rate: fc.double({ min: 0.6, max: 1.9, noNaN: true }),
      reasoning: fc.integer({ min: 0, max: 500 }),
    });
    fc.assert(
      fc.property(scenario, ({ whole, cut, repeated, rate, reasoning }) => {
        const deliveredBefore = Math.round(whole * cut * 4) / 4;
        const again = Math.round(deliveredBefore * repeated * 4) / 4;
        const deliveredByLast = whole - deliveredBefore;
        const sent = deliveredByLast + again;
        fc.pre(sent >= 16);
        const usage = {
          ...counts(900, Math.round(sent * rate) + reasoning),
          completion_tokens_details: { reasoning_tokens: reasoning },
        };
        const last = { strategy: 'anchor', cost: { usage }, asked: 500, sent } as const;
        const { completion_tokens: told } = usageOf({ deliveredBefore, deliveredByLast, last });
        // The report is a whole number, and its rounding grows with what it stands for.
        const slack = 1 + whole / sent;
        expect(Math.abs(Number(told) - reasoning - whole * rate)).toBeLessThanOrEqual(slack);
      }),
      { numRuns: 2000 },
    );
  });

  it('nothing of the estimate is left unmarked, and nothing exact is marked', () => {
    fc.assert(
      fc.property(facts, (given) => {
        const usage = usageOf(given);
        const { deliveredBefore, deliveredByLast, last, promptReport } = given;
        const isExact =
          Number(promptReport?.prompt_tokens) > 0 &&
          last.cost.estimated === undefined &&
          typeof last.cost.usage?.completion_tokens === 'number' &&
          last.sent === deliveredBefore + deliveredByLast;
        expect(usage['estimated']).toBe(isExact ? undefined : true);
      }),
      { numRuns: 2000 },
    );
  });
});
