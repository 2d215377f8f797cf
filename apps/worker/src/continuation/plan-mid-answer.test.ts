import type { Entry } from '@millrace/shared/domain/entry';
import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import {
  ended,
  fault,
  historyOf,
  plainTraits,
  reset,
  said,
  seam,
  started,
  toolCall,
} from './history.fixture.ts';
import { backup, decide, stepsOf, primary, third } from './plan.fixture.ts';
import type { Event } from './plan.fixture.ts';

/* After a part of the answer was shown: which strategy is tried where, and how it ends. */

const long = 'It was shown already, and it is long enough to be found again by its last words.';
const broken: FaultCode = 'upstream_reset';

/** The primary spoke and broke off. */
const interrupted = (
  delta: object | string = long,
  code: string = broken,
): ReturnType<typeof historyOf> => historyOf(started(1, primary), said(delta), ended(1, code));

const from = (delta?: object | string) => ({ history: interrupted(delta), fault: fault(broken) });

describe('the strategies', () => {
  it('begin at the next target, and each is tried once at each', () => {
    const events: Event[] = Array.from({ length: 4 }, () => 'no_continuation');
    expect(stepsOf(from(), events)).toEqual([
      'backup anchor',
      'backup replay',
      'primary replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('begin with the native one where the target has it', () => {
    const events: Event[] = ['target_unsuited', 'no_continuation', 'no_continuation'];
    expect(stepsOf({ ...from(), routes: [primary, third] }, events).slice(0, 3)).toEqual([
      'third continue',
      'third anchor',
      'third replay',
    ]);
  });

  it('wait at a target that failed otherwise, until the others had their turn', () => {
    const events: Event[] = Array.from({ length: 4 }, () => 'upstream_timeout');
    expect(stepsOf(from(), events)).toEqual([
      'backup anchor',
      'primary replay',
      'backup replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('are all new once an attempt has said more', () => {
    const more = { lines: (n: number) => [seam(n, 'anchor'), said(' And more.')], code: broken };
    expect(stepsOf(from(), [more, 'no_continuation'])).toEqual([
      'backup anchor',
      'primary anchor',
      'primary replay',
    ]);
  });

  it('go on through many faults as long as each brings something new, within a bound', () => {
    const more = (n: number): Entry[] => [seam(n, 'replay'), said(' More.')];
    const events: Event[] = Array.from({ length: 130 }, () => ({ lines: more, code: broken }));
    const words = stepsOf({ ...from(), traits: { ...plainTraits, repeats: true } }, events);
    expect(words).toHaveLength(100);
    expect(words.at(-1)).toBe('fail upstream_failed_mid_stream');
  });

  it('do not begin once the deadline has passed, and the end says that it was the deadline', () => {
    expect(decide({ ...from(), deadlineAt: 5000 })).toMatchObject({
      failed: { error: { code: 'deadline_exceeded' }, httpStatus: 504 },
    });
  });

  it('are tried by the worker that takes over from a dead one, at the next target', () => {
    const history = historyOf(started(1, primary), said(long));
    expect(stepsOf({ history }, [])).toEqual(['backup anchor']);
  });

  it('that a dead worker was on come after all others, once more', () => {
    const history = historyOf(
      started(1, primary),
      said(long),
      ended(1, broken),
      started(2, backup, 'anchor'),
    );
    const events: Event[] = Array.from({ length: 4 }, () => 'no_continuation');
    expect(stepsOf({ history }, events)).toEqual([
      'primary replay',
      'primary anchor',
      'backup replay',
      'backup anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('are the same ones once the log says that the worker was lost', () => {
    const open = [started(1, primary), said(long), ended(1, broken), started(2, backup, 'anchor')];
    const routes = [primary, backup, third];
    for (const entries of [open, open.slice(0, 2)]) {
      const lost = ended(entries.length === 2 ? 1 : 2, 'worker_lost');
      const words = stepsOf({ history: historyOf(...entries, lost), routes }, ['no_continuation']);
      expect(words).toEqual(
        stepsOf({ history: historyOf(...entries), routes }, ['no_continuation']),
      );
    }
  });

  it('that were handed over are tried first, at a target that continues natively', () => {
    const history = historyOf(started(1, primary), said(long), ended(1, 'handed_over'));
    const routes = [primary, backup, third];
    expect(stepsOf({ history, routes }, [])).toEqual(['third continue']);
  });

  it.each([
    ['strict', ['backup replay', 'primary replay']],
    ['off', []],
  ] as const)('with continuation %s are %j', (continuation, strategies) => {
    const events: Event[] = Array.from({ length: 3 }, () => 'no_continuation');
    expect(stepsOf({ ...from(), continuation }, events)).toEqual([
      ...strategies,
      'fail upstream_failed_mid_stream',
    ]);
  });

  it.each(['tools', 'json'] as const)('with %s in the request are replays only', (trait) => {
    const traits = { ...plainTraits, [trait]: true };
    const routes = [primary, third];
    const events: Event[] = Array.from({ length: 3 }, () => 'no_continuation');
    expect(stepsOf({ ...from(), traits, routes }, events)).toEqual([
      'third replay',
      'primary replay',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('that nobody could be asked for end in a word of ours where the reason died with its worker', () => {
    const error = { message: 'No assistant turn!', type: 'x', param: null, code: 'y' };
    const history = historyOf(
      started(1, primary),
      said(long),
      ended(1, 'worker_lost'),
      started(2, backup, 'replay'),
      ended(2, 'target_unsuited'),
    );
    const refused = fault('target_unsuited', { httpStatus: 400, error });
    const step = decide({ history, routes: [backup], continuation: 'strict', fault: refused });
    expect(step).toMatchObject({
      failed: { error: { code: 'upstream_failed_mid_stream', type: 'upstream_error' } },
    });
  });

  it('end where the fault is one that no other target mends', () => {
    const events: Event[] = ['content_filtered'];
    expect(stepsOf({ ...from(), reader: 'native' }, events)).toEqual([
      'backup anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });
});

describe('two attempts side by side', () => {
  it('when the one that spoke breaks off, nobody begins the answer anew', () => {
    const history = historyOf(
      started(1, primary),
      started(2, backup),
      seam(1, 'start'),
      said(long),
      ended(2, 'superseded'),
      ended(1, broken),
    );
    expect(stepsOf({ history, fault: fault(broken) }, [])).toEqual(['backup anchor']);
  });

  it('of an attempt that was overtaken are not used up', () => {
    const history = historyOf(
      started(1, primary),
      said(long),
      ended(1, broken),
      started(2, primary, 'replay'),
      started(3, backup, 'replay'),
      seam(2, 'replay'),
      said(' More.'),
      ended(3, 'superseded'),
      ended(2, broken),
    );
    const traits = { ...plainTraits, repeats: true };
    expect(stepsOf({ history, traits, fault: fault(broken) }, [])).toEqual(['backup replay']);
  });

  it('one that failed before the other spoke is not asked to begin again', () => {
    const history = historyOf(
      started(1, primary),
      started(2, backup),
      ended(2, broken),
      said(long),
      ended(1, broken),
    );
    expect(stepsOf({ history, fault: fault(broken) }, [])).toEqual(['primary replay']);
  });
});

describe('what was shown beside an attempt that was refused', () => {
  const refused: FaultCode = 'upstream_overloaded';
  const story = (shown: object | string) =>
    historyOf(
      started(1, primary),
      said(long),
      ended(1, broken),
      started(2, backup, 'anchor'),
      started(3, primary, 'replay'),
      ended(3, refused),
      seam(2, 'anchor'),
      said(shown),
      ended(2, refused, 1500),
    );
  const situation = (shown: object | string) => {
    return { history: story(shown), fault: fault(refused) };
  };

  it('lets it be asked in the same way again where it can be compared', () => {
    expect(decide(situation('More.'))).toMatchObject({ kind: 'attempt', mode: 'replay' });
  });

  it.each([
    ['a tool call', toolCall],
    ['what is no text', { audio: { id: 'a' } }],
  ])('rules its strategy out where it was %s', (_, shown) => {
    const otherKey = [primary];
    for (const one of [situation(shown), { ...situation(shown), otherKey }]) {
      expect(decide(one)).toMatchObject({ kind: 'fail' });
    }
  });
});

describe('a tool call that was shown', () => {
  it.each(['plain', 'native'] as const)('is followed by nothing, for a %s reader', (reader) => {
    expect(stepsOf({ ...from(toolCall), reader }, [])).toEqual(['fail upstream_failed_mid_stream']);
  });
});

describe('a native reader', () => {
  const native = { ...from(), reader: 'native' as const };
  const two: Event[] = Array.from({ length: 4 }, () => 'no_continuation');

  it('gets a fresh answer where a plain one gets the end, of the target that last answered', () => {
    expect(stepsOf(native, two).at(-1)).toBe('primary restart');
    expect(stepsOf({ ...native, continuation: 'off' }, [])).toEqual(['backup restart']);
  });

  it('gets it of another target where that one broke off twice', () => {
    const history = historyOf(
      started(1, primary),
      said(long),
      ended(1, broken),
      started(2, backup, 'replay'),
      ended(2, 'no_continuation'),
      started(3, primary, 'replay'),
      ended(3, broken),
      started(4, primary, 'anchor'),
      ended(4, 'no_continuation'),
    );
    const noMore = { ...native, continuation: 'off', fault: fault('no_continuation') } as const;
    expect(decide({ ...noMore, history })).toMatchObject({ mode: 'restart', route: backup });
  });

  it('gets it also of what cannot be repeated', () => {
    const audio = historyOf(started(1, primary), said(long), said({ audio: { id: 'a' } }));
    expect(stepsOf({ ...native, history: audio }, [])).toEqual(['backup restart']);
  });

  it('gets a fresh one of each target once at most, then the clear end', () => {
    const again = { lines: () => [said(long)], code: broken };
    const events: Event[] = [again, again];
    expect(stepsOf({ ...native, continuation: 'off' }, events)).toEqual([
      'backup restart',
      'primary restart',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('that was told to forget is as good as new: every target may begin', () => {
    const events: Event[] = ['upstream_timeout', 'upstream_timeout'];
    expect(stepsOf({ ...native, continuation: 'off' }, events)).toEqual([
      'backup restart',
      'primary start',
      'fail upstream_timeout',
    ]);
  });

  it('that was told to forget by a worker that died then is answered from the start', () => {
    const history = historyOf(started(1, primary), said(long), reset);
    expect(stepsOf({ history, reader: 'native' }, [])).toEqual(['backup start']);
  });
});

describe('an answer that was shown to its end', () => {
  const whole = (...choices: number[]) =>
    historyOf(
      started(1, primary),
      said(long),
      ...choices.map((index) => said({}, { index, finish: 'stop' })),
    );

  it('only has its terminal missing, whatever came after it', () => {
    expect(decide({ history: whole(0), fault: fault(broken) })).toEqual({ kind: 'complete' });
    expect(decide({ history: whole(0), deadlineAt: 0 })).toEqual({ kind: 'complete' });
    expect(decide({ history: whole(0), routes: [] })).toEqual({ kind: 'complete' });
  });

  it('was not streamed, and is there as a whole', () => {
    const data = { contentType: 'application/json', body: '{}' };
    const history = historyOf(started(1, primary), { kind: 'result', data });
    expect(decide({ history, reader: 'plain' })).toEqual({ kind: 'complete' });
    expect(decide({ history, reader: 'native' })).toEqual({ kind: 'complete' });
  });

  it('has all its choices shown to their ends', () => {
    const traits = { ...plainTraits, choices: 2 };
    expect(decide({ history: whole(0), traits })).toMatchObject({ mode: 'replay' });
    expect(decide({ history: whole(0, 1), traits })).toEqual({ kind: 'complete' });
  });
});

describe('an aggregator, whose answer broke off', () => {
  const router = { ...primary, aggregator: true as const };
  const situation = (code: FaultCode) => ({
    history: interrupted(long, code),
    fault: fault(code),
    routes: [router, backup],
  });

  it('is asked again once before the next target, because it may ask another provider', () => {
    const events: Event[] = ['upstream_server_error', 'upstream_server_error'];
    expect(stepsOf(situation('upstream_overloaded'), events).slice(0, 2)).toEqual([
      'primary replay',
      'backup anchor',
    ]);
  });

  it('is not, if a repetition cures nothing', () => {
    for (const code of ['upstream_quota_exceeded', 'upstream_idle_timeout'] as const) {
      expect(stepsOf(situation(code), ['upstream_reset'])[0]).toBe('backup anchor');
    }
  });
});
