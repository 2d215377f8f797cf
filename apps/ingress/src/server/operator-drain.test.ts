import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createOperatorDrain } from './operator-drain.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const stateOf = ({ isDraining, isRefusing }: ReturnType<typeof createOperatorDrain>) => ({
  isDraining,
  isRefusing,
});

test('a drained ingress refuses requests once load balancers have had their time to notice', async () => {
  const onRefusing = vi.fn<() => void>();
  const drain = createOperatorDrain({ delayMs: 3000, onRefusing });
  drain.apply('drain');
  expect(stateOf(drain)).toEqual({ isDraining: true, isRefusing: false });
  await vi.advanceTimersByTimeAsync(3000);
  expect(stateOf(drain)).toEqual({ isDraining: true, isRefusing: true });
  expect(onRefusing).toHaveBeenCalledTimes(1);
  drain.apply('resume');
  expect(stateOf(drain)).toEqual({ isDraining: false, isRefusing: false });
});

test('an ingress that is resumed before that refuses nothing', async () => {
  const onRefusing = vi.fn<() => void>();
  const drain = createOperatorDrain({ delayMs: 3000, onRefusing });
  drain.apply('drain');
  drain.apply('resume');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(stateOf(drain)).toEqual({ isDraining: false, isRefusing: false });
  expect(onRefusing).not.toHaveBeenCalled();
});

test('without a delay it refuses at once', () => {
  const drain = createOperatorDrain({ delayMs: 0, onRefusing() {} });
  drain.apply('drain');
  expect(stateOf(drain)).toEqual({ isDraining: true, isRefusing: true });
});
