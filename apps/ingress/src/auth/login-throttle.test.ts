import { expect, test } from 'vitest';
import { createLoginThrottle, forgetMs, maxNetworks } from './login-throttle.ts';

function throttleAt() {
  const clock = { now: 1_000_000 };
  const throttle = createLoginThrottle(() => clock.now);
  const fail = (network: string, times: number) => {
    for (let i = 0; i < times; i += 1) throttle.failed(network);
  };
  return { clock, throttle, fail };
}

test('the first wrong passwords of a network cost nothing, each further one twice as much, up to a minute', () => {
  const { clock, throttle, fail } = throttleAt();
  fail('a', 4);
  expect(throttle.waitOf('a')).toBe(0);
  fail('a', 1);
  expect(throttle.waitOf('a')).toBe(1000);
  clock.now += 400;
  expect(throttle.waitOf('a')).toBe(600);
  fail('a', 1);
  expect(throttle.waitOf('a')).toBe(2000);
  fail('a', 2000);
  expect(throttle.waitOf('a')).toBe(60_000);
  expect(throttle.waitOf('b')).toBe(0);
});

test('a right password, or a quarter of an hour without a wrong one, starts anew', () => {
  const { clock, throttle, fail } = throttleAt();
  fail('a', 9);
  throttle.succeeded('a');
  expect(throttle.waitOf('a')).toBe(0);
  fail('b', 9);
  clock.now += forgetMs;
  fail('b', 1);
  expect(throttle.waitOf('b')).toBe(0);
});

test('an attack from many networks takes bounded memory, and frees only the networks that failed longest ago', () => {
  const { throttle, fail } = throttleAt();
  fail('old', 9);
  fail('new', 9);
  for (let i = 0; i < maxNetworks - 1; i += 1) fail(`net-${i}`, 1);
  expect(throttle.waitOf('old')).toBe(0);
  expect(throttle.waitOf('new')).toBeGreaterThan(0);
});

test('the same guess again counts once, until another one follows', () => {
  const { throttle } = throttleAt();
  for (let i = 0; i < 100; i += 1) throttle.failed('a', 'of before');
  expect(throttle.waitOf('a')).toBe(0);
  for (const guess of ['1', '2', '1', '2']) throttle.failed('a', guess);
  expect(throttle.waitOf('a')).toBe(1000);
});
