import { expect, it } from 'vitest';
import { searchBorder } from './run.ts';

async function attemptsUpTo(border: number, most = 4_000): Promise<number[]> {
  const tried: number[] = [];
  await searchBorder(most, async (streams) => tried.push(streams) > 0 && streams <= border);
  return tried;
}

it('the border is looked for between the last good number and the first bad one', async () => {
  expect(await attemptsUpTo(260)).toEqual([100, 150, 225, 338, 338, 282, 254]);
});

it('the search ends where the first number is too many, and where none is', async () => {
  expect(await attemptsUpTo(50)).toEqual([100, 100]);
  expect(await attemptsUpTo(10_000, 230)).toEqual([100, 150, 225]);
});

it('one attempt that fails does not end the search', async () => {
  const tried: number[] = [];
  await searchBorder(200, async (streams) => tried.push(streams) !== 1);
  expect(tried).toEqual([100, 100, 150]);
});
