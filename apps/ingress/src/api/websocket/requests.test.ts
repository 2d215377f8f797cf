import { logStart } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { afterEach, expect, test, vi } from 'vitest';
import type { Client } from '../../exchange/exchange-client.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import type { EndedRequest } from '../../observe/tracing.ts';
import type { Services } from '../../services.ts';
import { patienceMs } from '../../store-timeout.ts';
import { SocketRequests } from './requests.ts';

afterEach(() => void vi.useRealTimers());

test('the first report of a queue position is awaited only so long', async () => {
  vi.useFakeTimers();
  const services = {
    exchanges: { read: () => ({ resume() {}, leave() {}, isOver: false }) },
    queuePositions: { watch: () => ({ reported: new Promise(() => {}), stop() {} }) },
  } as unknown as Services;
  const writer = { send: () => true, hasRoom: () => true, held: () => 0 };
  const requests = new SocketRequests({ services, writer, onUnused() {} });
  const meta = { id: newRequestId(0, 0) } as RequestMeta;
  const told = vi.fn<() => void>();
  void requests.subscribe({ meta, last: logStart, ended: undefined }, logStart).then(told);
  await vi.advanceTimersByTimeAsync(patienceMs - 1);
  expect(told).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2);
  expect(told).toHaveBeenCalled();
});

test('a create frame that joins a request which its socket reads already ends its span', async () => {
  const id = newRequestId(0, 0);
  const exchange = { id, resume() {}, leave() {}, isOver: true };
  const services = {
    exchanges: {
      read: () => exchange,
      open(_: unknown, client: Client) {
        client.joined?.(id);
        client.released?.();
        return exchange;
      },
    },
    queuePositions: { watch: () => ({ reported: Promise.resolve(), stop() {} }) },
  } as unknown as Services;
  const writer = { send: () => true, hasRoom: () => true, held: () => 0 };
  const requests = new SocketRequests({ services, writer, onUnused() {} });
  const meta = { id, model: 'm' } as RequestMeta;
  await requests.subscribe({ meta, last: logStart, ended: undefined }, logStart);

  const end = vi.fn<(ended: EndedRequest) => void>();
  const span = { trace: { parent: '' }, end };
  const prepared = { meta: { ...meta, id: newRequestId(0, 0) } } as Prepared;
  await requests.create(prepared, { ref: undefined, span, refuse() {} });
  expect(end.mock.calls).toMatchObject([[{ id, outcome: 'completed', model: 'm' }]]);
  expect(requests.size).toBe(1);
});
