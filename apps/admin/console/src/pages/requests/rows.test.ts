import { expect, test } from 'vitest';
import { endingAfter, endingMs } from './rows.ts';
import type { Row } from './rows.ts';

const running = { id: 'req_a', status: 'running' } as Row;
const nothing = new Map<string, { row: Row; since: number }>();

test('a request that runs no more is listed as ending until the ledger has it, or for a while', () => {
  const ending = endingAfter(nothing, [running], new Set(), 0);
  expect(ending.get('req_a')?.row.status).toBe('ending');
  expect(endingAfter(ending, [], new Set(), endingMs - 1).size).toBe(1);
  expect(endingAfter(ending, [], new Set(['req_a']), 1).size).toBe(0);
  expect(endingAfter(ending, [], new Set(), endingMs).size).toBe(0);
});

test('on a page that does not look at what runs, nothing is ending', () => {
  const ending = endingAfter(nothing, [running], new Set(), 0);
  expect(endingAfter(nothing, [running], undefined, 0).size).toBe(0);
  expect(endingAfter(ending, [], undefined, 1).size).toBe(0);
});
