import { badField } from '../api/admin-error.ts';

const actions = ['kill-worker', 'cut', 'stall'] as const;

/** `worker`: of kill-worker. `provider`: of cut and stall. `request`: only what serves it is hit. */
export type ChaosOrder = {
  action: (typeof actions)[number];
  worker: string | undefined;
  provider: string | undefined;
  request: string | undefined;
};

/** Throws a 400 that names the field. */
export function readChaos(body: unknown): ChaosOrder {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badField('', 'expected a JSON object with an action');
  }
  const { action: name, ...fields } = body as Record<string, unknown>;
  const action = actions.find((one) => one === name);
  if (!action) throw badField('action', `expected one of ${actions.join(', ')}`);
  const where = action === 'kill-worker' ? 'worker' : 'provider';
  for (const [field, value] of Object.entries(fields)) {
    if (field !== where && field !== 'request') {
      throw badField(field, `unknown; ${action} takes ${where} and request`);
    }
    if (typeof value !== 'string' || value === '') throw badField(field, 'expected a text');
  }
  const { worker, provider, request } = fields as Record<string, string | undefined>;
  return { action, worker, provider, request };
}
