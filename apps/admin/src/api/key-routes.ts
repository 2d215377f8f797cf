import type { KeyConfig, KeySettings } from '@millrace/shared/config';
import { withTimeout } from '@millrace/shared/runtime/timeout';
import { maxKeys } from '@millrace/shared/store/api-keys/port';
import type { ApiKeyStore, CreatedKey } from '@millrace/shared/store/api-keys/port';
import type { Budgets } from '@millrace/shared/store/budgets/port';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { readChange, readGrace, readNewKey } from '../keys/body.ts';
import { changeKey, createKey, maxSecrets, revokeKey, rotateKey } from '../keys/changes.ts';
import { newSecret } from '../keys/secret.ts';
import { budgetUseView, configKeyView, createdKeyView } from '../keys/view.ts';
import type { KeyView, UseView } from '../keys/view.ts';
import type { Settler } from '../budgets/settler.ts';
import { pause } from '../pause.ts';
import { AdminError } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';

export type KeyRoutesOptions = {
  store: Pick<ApiKeyStore, 'read' | 'find' | 'write' | 'remove'>;
  /** Absent: there is no ledger, and keys cannot have a budget. */
  budgets: KeyBudgets | undefined;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  /** Of the config in use: they can be seen, and not changed. */
  readonly configured: readonly KeyConfig[];
  /** The aliases of the config in use. */
  readonly models: readonly string[];
  onError(error: unknown): void;
  now?(): number;
};

export type KeyBudgets = Pick<Settler, 'refresh'> & Pick<Budgets, 'read'>;

/** Milliseconds that an operator waits for Redis. */
const patienceMs = 3000;
/**
 * Milliseconds for which a revoked key stays in the list, and its id stays taken: longer than any request of the key can be
 * read, which a new key with this id could see.
 */
const rememberedMs = 32 * 24 * 3_600_000;
/** Writes that found the key changed meanwhile are repeated so many times. */
const maxTries = 5;

type OfOne = { Params: { id: string } };

/** `GET` and `POST /admin/keys`; `GET`, `PATCH` and `DELETE /admin/keys/{id}`; `POST /admin/keys/{id}/rotate`. */
export function keyRoutes(app: FastifyInstance, options: KeyRoutesOptions): void {
  const { store, budgets, isReady, onError, now = Date.now } = options;
  const configKey = (id: string) => options.configured.find((key) => key.id === id);
  const createdView = (key: CreatedKey) =>
    createdKeyView(key, now(), configKey(key.id) !== undefined);

  /** Rejects with a 503 if Redis does not answer. */
  async function ask<T>(question: () => Promise<T>): Promise<T> {
    if (!isReady()) throw unavailable();
    try {
      return await withTimeout(question(), patienceMs, unavailable);
    } catch (error) {
      if (error instanceof AdminError) throw error;
      onError(error);
      throw unavailable();
    }
  }

  /** The views with what was used of the budgets. */
  async function withUse<V extends KeyView>(views: readonly V[]): Promise<(V & UseView)[]> {
    const ids = views.filter(({ budget }) => budget !== null).map(({ id }) => id);
    const states = ids.length > 0 && budgets ? await ask(() => budgets.read(ids)) : [];
    const byId = new Map(ids.map((id, i) => [id, states[i]]));
    return views.map((view) => ({
      ...view,
      budget_use: budgetUseView(view.budget, byId.get(view.id), now()),
    }));
  }

  async function viewOf(key: CreatedKey) {
    const [view] = await withUse([createdView(key)]);
    return view;
  }

  /** The counters of a key have to be there before its first request. If the ledger is away they follow when it is back. */
  async function countFor(id: string, settings: Partial<KeySettings>): Promise<void> {
    if (settings.budget === undefined) return;
    if (!budgets) throw noLedger();
    await Promise.race([budgets.refresh(id).catch(onError), pause(patienceMs)]);
  }

  async function find(id: string): Promise<CreatedKey> {
    const key = await ask(() => store.find(id));
    if (!key)
      throw new AdminError(404, 'key_not_found', `There is no key '${id.slice(0, 100)}'.`, 'id');
    return key;
  }

  /** Changes a key that is not revoked; again if another operator changed it at the same time. */
  async function change(id: string, next: (key: CreatedKey) => CreatedKey): Promise<CreatedKey> {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const seen = await find(id);
      const key = next(seen);
      if (key === seen) return key;
      const { kind } = await ask(() => store.write(key, seen));
      if (kind === 'written') return key;
    }
    throw new AdminError(
      409,
      'key_changed',
      `The key '${id}' is being changed by others; try again.`,
    );
  }

  async function changeValid(
    id: string,
    next: (key: CreatedKey) => CreatedKey,
  ): Promise<CreatedKey> {
    if (configKey(id)) throw fixed(id);
    return change(id, (key) => {
      if (key.revokedAt === undefined) return next(key);
      throw new AdminError(409, 'key_revoked', `The key '${id}' was revoked: create another one.`);
    });
  }

  /** Also a created key that one of the config hides: it would open again as soon as the config loses that one. */
  async function revoke(id: string): Promise<CreatedKey> {
    const isHidden = configKey(id) !== undefined;
    if (isHidden && !(await ask(() => store.find(id)))) throw fixed(id);
    return change(id, (key) => {
      if (key.revokedAt === undefined) return revokeKey(key, now());
      // The one of the config stays valid, so this must not look like its revocation.
      if (isHidden) throw fixed(id);
      return key;
    });
  }

  /** Removes revoked keys whose requests have all expired, to make room for new keys. */
  async function removeForgotten(): Promise<void> {
    const { keys } = await ask(() => store.read());
    const since = now() - rememberedMs;
    for (const key of keys) {
      if (key.revokedAt !== undefined && key.revokedAt < since) await ask(() => store.remove(key));
    }
  }

  app.addHook('onRequest', async ({ query }) => knownOnly(query as Query, []));

  app.get('/admin/keys', async () => {
    const { keys } = await ask(() => store.read());
    const created = keys.map(createdView);
    created.sort((one, other) => (one.id < other.id ? -1 : 1));
    return { data: await withUse([...options.configured.map(configKeyView), ...created]) };
  });

  app.get<OfOne>('/admin/keys/:id', async ({ params: { id } }) => {
    const own = configKey(id);
    const [view] = await withUse([own ? configKeyView(own) : createdView(await find(id))]);
    return view;
  });

  app.post('/admin/keys', async ({ body }, reply) => {
    const made = readNewKey(body, options.models, now());
    const taken = configKey(made.id) !== undefined;
    const { secret, sha256 } = newSecret();
    if (!taken) await countFor(made.id, made.settings);
    const key = createKey(made, sha256, now());
    const create = () => ask(() => store.write(key, undefined));
    let kind = taken ? 'changed' : (await create()).kind;
    if (kind === 'full') {
      await removeForgotten();
      ({ kind } = await create());
    }
    if (kind === 'changed') {
      const message = `There is a key '${made.id}' already${taken ? ', in the config' : ''}; revoked keys keep their ids.`;
      throw new AdminError(409, 'key_exists', message, 'id');
    }
    if (kind === 'full') {
      throw new AdminError(
        409,
        'too_many_keys',
        `There are ${maxKeys} keys already, revoked ones included.`,
      );
    }
    return shownOnce(
      reply.code(201).header('location', `/admin/keys/${encodeURIComponent(key.id)}`),
      {
        ...(await viewOf(key)),
        secret,
      },
    );
  });

  app.patch<OfOne>('/admin/keys/:id', async ({ params: { id }, body }) => {
    const asked = readChange(body, options.models, now());
    if (!configKey(id) && asked.settings.budget !== undefined) {
      await find(id);
      await countFor(id, asked.settings);
    }
    return viewOf(await changeValid(id, (key) => changeKey(key, asked, now())));
  });

  app.delete<OfOne>('/admin/keys/:id', async ({ params: { id } }) => viewOf(await revoke(id)));

  app.post<OfOne>('/admin/keys/:id/rotate', async ({ params: { id }, body }, reply) => {
    const graceMs = readGrace(body);
    const { secret, sha256 } = newSecret();
    const rotated = await changeValid(id, (key) => {
      const next = rotateKey(key, sha256, { now: now(), graceMs });
      if (next !== 'too_many_secrets') return next;
      const message = `The key '${id}' has ${maxSecrets} valid secrets: rotate it with "grace": 0 to end them.`;
      throw new AdminError(409, 'too_many_secrets', message);
    });
    return shownOnce(reply, { ...(await viewOf(rotated)), secret });
  });
}

const shownOnce = (reply: FastifyReply, body: object): FastifyReply =>
  reply.header('cache-control', 'no-store').send(body);

const noLedger = (): AdminError =>
  new AdminError(
    400,
    'no_ledger',
    'A budget needs the ledger, and this fleet keeps none: set database.url in the config (or DATABASE_URL) and restart it.',
    'budget',
  );

const fixed = (id: string): AdminError =>
  new AdminError(
    409,
    'key_in_config',
    `The key '${id}' is in the config, and is changed there.`,
    'id',
  );

const unavailable = (): AdminError =>
  new AdminError(
    503,
    'keys_unavailable',
    'Redis does not answer. A change may have been made: look at the key, and try again. Keys stay valid meanwhile.',
  );
