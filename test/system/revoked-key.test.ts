import { expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { RoleProcess } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

const bearer = (id: string) => ({ authorization: `Bearer secret-${id}` });
const ops = { authorization: `Basic ${Buffer.from('ops:pass').toString('base64')}` };
const key = (id: string) => ({ id, secret: `secret-${id}`, limits: { concurrent: 1 } });

test('a key that was revoked opens nothing more, and what was let in with it comes to its end', async () => {
  await using fleet = await startFleet({
    workers: 0,
    models: { quick: 'healthy:tokens=5' },
    config: { keys: [key('gone'), key('here')], admin: { user: 'ops', password: 'pass' } },
  });
  const [old] = fleet.ingresses as [RoleProcess];
  const makeJob = ({ url }: RoleProcess, id: string) =>
    call(`${url}/v1/jobs`, { headers: bearer(id), body: { body: chat('quick') } });
  const view = async ({ url }: RoleProcess, headers: Record<string, string>) =>
    call(`${url}/v1/jobs/${id}`, { headers });

  const made = await makeJob(old, 'gone');
  expect(made.status).toBe(202);
  const { id } = jsonOf(made) as { id: string };
  // It waits, and holds all that the key may have at a time.
  expect((await makeJob(old, 'gone')).status).toBe(429);
  const socket = await openSocket(old.url, bearer('gone'));

  await fleet.reconfigure({ keys: [key('here')] });
  // The ingress that runs takes the change over; another one starts with it.
  expect(await socket.closed).toMatchObject({ code: 1008 });
  const fresh = await fleet.addIngress();
  expect(await old.stop('SIGTERM')).toBe(0);

  for (const refused of [await makeJob(fresh, 'gone'), await view(fresh, bearer('gone'))]) {
    expect(refused.status).toBe(401);
    expect(errorOf(refused)).toMatchObject({ code: 'invalid_api_key' });
  }
  await expect(openSocket(fresh.url, bearer('gone'))).rejects.toThrow('401');
  expect((await view(fresh, bearer('here'))).status).toBe(404);
  expect(jsonOf(await view(fresh, ops))).toMatchObject({ status: 'queued' });

  await fleet.addWorker();
  const status = async () => (jsonOf(await view(fresh, ops)) as { status: string }).status;
  await expect.poll(status).toBe('completed');

  // Its place is free: a key that comes back is not kept out by what it once had.
  await fleet.reconfigure({ keys: [key('gone'), key('here')] });
  const again = await fleet.addIngress();
  await expect.poll(async () => (await makeJob(again, 'gone')).status).toBe(202);
  expect(jsonOf(await view(again, bearer('gone')))).toMatchObject({ status: 'completed' });
});
