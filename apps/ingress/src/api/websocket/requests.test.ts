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
    queuePositions: { watch: () => ({ reported: new Promise(() => {}), stop() {} }) },
  } as unknown as Services;
  const writer = { send: () => true, hasRoom: () => true };
  const requests = createSocketRequests(services, writer, () => {});
  const meta = { id: newRequestId(0, 0) } as RequestMeta;
  requests.readFresh(meta, { owned: false }, writer.send);
  const told = vi.fn<() => void>();
  void requests.reportPosition(meta.id).then(told);
  await vi.advanceTimersByTimeAsync(patienceMs - 1);
  expect(told).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(told).toHaveBeenCalled();
});
