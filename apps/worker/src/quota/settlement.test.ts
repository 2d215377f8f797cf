import { beforeEach, expect, it } from 'vitest';
import { createQuotaSettlement } from './settlement.ts';
import type { QuotaSettlement } from './settlement.ts';

let told: unknown[][];
let accounts: QuotaSettlement;
beforeEach(() => {
  told = [];
  const tell =
    (what: string) =>
    (...args: unknown[]) =>
      void told.push([what, ...args]);
  accounts = createQuotaSettlement({
    windows: { correct: async (...args) => tell('correct')(...args) },
    keeper: { hold: tell('hold'), release: tell('release'), forget: tell('forget') },
    onError: tell('error'),
  });
});

const account = { keyId: 'a/b', leased: true, tokens: { charged: 600, slot: 7 } };

it('a request with everything is kept while it runs, and settled at its end', () => {
  const request = { id: 'r', data: { account } };
  accounts.begin(request);
  accounts.settle(request, 50);
  expect(told).toEqual([
    ['hold', 'key:a%2Fb', 'r'],
    ['release', 'key:a%2Fb', 'r'],
    ['correct', 'key:a%2Fb', [{ name: 'tokens', amount: -550, slot: 7 }]],
  ]);
});

it('an estimate stays where nobody knows better, or where it was right', () => {
  const data = { account: { ...account, leased: false } };
  accounts.settle({ id: 'r', data }, undefined);
  accounts.settle({ id: 'r', data }, 600);
  expect(told).toEqual([]);
  accounts.settle({ id: 'r', data }, 700);
  expect(told).toEqual([['correct', 'key:a%2Fb', [{ name: 'tokens', amount: 100, slot: 7 }]]]);
});

it('a request that goes on elsewhere is neither settled nor given back', () => {
  accounts.forget({ id: 'r', data: { account } });
  expect(told).toEqual([['forget', 'r']]);
});

it('a key without limits has no account', () => {
  accounts.begin({ id: 'r', data: {} });
  accounts.settle({ id: 'r', data: {} }, 5);
  expect(told).toEqual([]);
});
