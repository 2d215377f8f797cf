import type { ChildProcess } from 'node:child_process';
import { expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';

const probe = '../kit/memory-probe.ts';

const streams = 4;
const bodyBytes = 2 * 1024 * 1024;

/** Bodies that a role holds for each stream, beside what it held before. */
const heldSince = async (child: ChildProcess, before: number): Promise<number> =>
  ((await heldBy(child)) - before) / streams / bodyBytes;

/** Bytes that a role holds, garbage left out. */
async function heldBy(child: ChildProcess): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const listen = (message: unknown): void => {
    const { type, bytes } = message as { type?: unknown; bytes?: number };
    if (type === 'memory') resolve(bytes ?? NaN);
  };
  child.on('message', listen);
  child.send('memory?');
  return promise.finally(() => child.off('message', listen));
}

/** A stream that has begun, and that does not end by itself. */
async function openStream(url: string, bytes: number): Promise<AsyncDisposable> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'endless',
      stream: true,
      messages: [{ role: 'user', content: 'a'.repeat(bytes) }],
    }),
  });
  expect(response.status).toBe(200);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  return { [Symbol.asyncDispose]: () => reader.cancel() };
}

test('a stream holds its request body twice in the worker, as text and as what was sent, and not in the ingress', async () => {
  await using fleet = await startFleet({
    workers: 0,
    models: { endless: 'healthy:tokens=100000,pace=200' },
    ingressFlags: ['--import', new URL(probe, import.meta.url).href],
  });
  const { child: worker } = await fleet.addWorker(undefined, './memory-probe.ts');
  const ingress = fleet.ingresses[0]?.child as ChildProcess;
  await using open = new AsyncDisposableStack();
  // What a first request makes is made for all.
  open.use(await openStream(fleet.url, bodyBytes));
  const before = { ingress: await heldBy(ingress), worker: await heldBy(worker) };
  const begun = Array.from({ length: streams }, () => openStream(fleet.url, bodyBytes));
  for (const one of await Promise.all(begun)) open.use(one);
  expect(await heldSince(ingress, before.ingress)).toBeLessThan(0.5);
  expect(await heldSince(worker, before.worker)).toBeLessThan(2.5);
}, 60_000);
