import { newRequestId } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { afterEach, expect, test, vi } from 'vitest';
import type { Services } from '../../services.ts';
import { patienceMs } from '../../exchange/timeout.ts';
import { createSocketRequests } from './requests.ts';

afterEach(() => void vi.useRealTimers());

test('a place in the queue that nobody tells is waited for only so long', async () => {
  vi.useFakeTimers();
  const reader = { resume() {}, close() {} };
  const services = {
    config: { models: {}, limits: { queueTtlMs: 0 } },
    relay: { openFresh: () => reader },
    waitingRoom: { enter: () => ({ told: new Promise(() => {}), leave() {} }) },
  } as unknown as Services;
  const outbox = { send: () => true, hasRoom: () => true };
  const requests = createSocketRequests(services, outbox, () => {});
  const meta = { id: newRequestId(0, 0) } as RequestMeta;
  requests.readFresh(meta, { owned: false }, outbox.send);
  const told = vi.fn<() => void>();
  void requests.tellPlace(meta.id).then(told);
  await vi.advanceTimersByTimeAsync(patienceMs - 1);
  expect(told).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(told).toHaveBeenCalled();
});
