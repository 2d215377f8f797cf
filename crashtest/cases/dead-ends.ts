import { exactTime } from '../../apps/simulator/src/clock.ts';
import type { ProcessCase, Verdict } from '../case.ts';
import { send } from '../../test/kit/exchange.ts';
import type { Ended } from '../../test/kit/exchange.ts';
import { worst } from '../crowd.ts';
import { mapValues, withFleet } from '../fleet.ts';
import { readAnswer } from '../../test/kit/reading.ts';
import { attemptsOf, completionsOf, question } from '../rig.ts';
import { markerOf, rescued, WHOLE } from '../scenario.ts';

type DeadEnd = {
  primary: string;
  backup: string;
  /** Correct statuses: the last provider's own, or its replacement. */
  statuses: readonly number[];
  /** The part of the last real reason that the client must receive. */
  says: RegExp;
  /** The answer had begun: its head was sent, so the error is an event. */
  begun?: boolean;
};

const deadEnds: Readonly<Record<string, DeadEnd>> = {
  'html-then-500': {
    primary: 'status:code=503,body=html',
    backup: 'status:code=500',
    statuses: [500, 502],
    says: /had an error while processing/,
  },
  'json-then-html': {
    primary: 'status:code=500',
    backup: 'status:code=503,body=html',
    statuses: [503],
    says: /503|overloaded/,
  },
  'then-429': {
    primary: 'status:code=500',
    backup: 'status:code=429,retryAfter=7',
    statuses: [429],
    says: /rate limit/i,
  },
  'then-401': {
    primary: 'status:code=503',
    backup: 'status:code=401',
    // The proxy's own key, which does not concern the client.
    statuses: [502],
    says: /authorize/i,
  },
  resets: {
    primary: 'reset-before-headers',
    backup: 'reset-before-headers',
    statuses: [502],
    says: /reset|connection|broke/i,
  },
  'html-200': {
    primary: 'html-200',
    backup: 'html-200',
    statuses: [502],
    says: /stream|JSON|answer/i,
  },
  'both-cut': {
    primary: 'cut:after=40',
    backup: 'cut:after=30',
    statuses: [200],
    says: /./,
    begun: true,
  },
};

/** M09: every target fails. Streamed and not, before the answer and in its middle. */
export const everyTargetFails: ProcessCase = {
  kind: 'process',
  id: 'M09',
  title: 'every target fails: one error with the last real reason',
  run: (stage) =>
    withFleet({ models: mapValues(deadEnds, modelOf) }, async (fleet) => {
      const marker = markerOf('M09');
      const startedAt = exactTime();
      const asked = Object.entries(deadEnds).flatMap(([alias, deadEnd]) =>
        (deadEnd.begun ? [true] : [true, false]).map(async (stream) => {
          const body = question(alias, `${marker}-${alias}-${stream}.`, { stream });
          const { patienceMs, signal } = stage;
          const ended = await send(completionsOf(fleet.url), { body, patienceMs, signal }).ended;
          const { verdict, reason } = judge(deadEnd, ended);
          return { verdict, reason: `${alias}${stream ? '' : ', not streamed'}: ${reason}` };
        }),
      );
      const told = await Promise.all(asked);
      return {
        ...worst(told, []),
        attempts: attemptsOf(fleet, marker),
        totalMs: exactTime() - startedAt,
        longestGapMs: 0,
        figures: { requests: told.length },
      };
    }),
};

const modelOf = ({ primary, backup }: DeadEnd) => ({
  targets: [
    { provider: 'primary', model: primary },
    { provider: 'backup', model: backup },
  ],
});

function judge(
  { statuses, says, begun = false }: DeadEnd,
  ended: Ended,
): { verdict: Verdict; reason: string } {
  const reading = readAnswer(ended);
  const { verdict, reason } = rescued(reading, WHOLE);
  if (verdict !== 'safe') {
    return { verdict: 'fail', reason: verdict === 'pass' ? 'an answer from nowhere' : reason };
  }
  const wrong = [
    ...(statuses.includes(reading.status) ? [] : [`status ${reading.status}, not ${statuses[0]}`]),
    ...(says.test(reading.error?.message ?? '') ? [] : [`says only "${reading.error?.message}"`]),
    ...(/<\w/u.test(reading.error?.message ?? '') ? ['HTML in the message'] : []),
    ...(begun && reading.text === '' ? ['nothing was shown of what had come'] : []),
  ];
  return wrong.length === 0
    ? { verdict: 'pass', reason: '' }
    : { verdict: 'fail', reason: wrong.join('; ') };
}
