import { atMost } from '../goal.ts';
import type { Goal } from '../goal.ts';
import { number, table } from '../table.ts';
import type { Part } from '../table.ts';
import type { ConsoleResult } from './run.ts';

export const CONSOLE_HEADING =
  'console: a real Chromium looks at a fleet with a full ledger and many running streams.';

export const consoleReport = (result: ConsoleResult): Part[] => [
  table(
    ['first page', 'requests in the ledger', 'ms to its figures', 'KB sent', 'KB of all pages'],
    [
      [
        'no cache',
        number(result.rows),
        number(result.firstViewMs),
        number(result.firstKb, 1),
        number(result.allKb, 1),
      ],
    ],
  ),
  table(
    ['live list', 'streams', 'frame p95 ms', 'frame max ms'],
    [['', number(result.streams), number(result.frameP95Ms, 1), number(result.frameMaxMs, 1)]],
  ),
  table(
    ['ingress and workers', 'CPU ms/s'],
    [
      ['before a page was open', number(result.cpu.before, 1)],
      ['with the live list open', number(result.cpu.open, 1)],
      ['after it was closed', number(result.cpu.after, 1)],
    ],
  ),
];

/** A frame at 60 Hz takes 16.7 ms; half a millisecond more is the clock's. */
const frameMs = 17.2;

export const goalsOfConsole = ({ firstViewMs, allKb, frameP95Ms }: ConsoleResult): Goal[] => [
  atMost('first page within 1 s', firstViewMs, 1000, 'ms'),
  atMost('60 frames a second (p95) with 500 running streams', frameP95Ms, frameMs, 'ms'),
  atMost('all of the console in 150 KB', allKb, 150, 'KB'),
];
