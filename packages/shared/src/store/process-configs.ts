import { readJsonObject } from '../domain/json.ts';
import type { ConfigState } from '../runtime/config-source.ts';
import type { Keyspace } from './keys.ts';
import type { Redis } from './redis.ts';

/*
 * How each process of the fleet stands to its config file, and the operators' order to read it again. The order is a counter
 * that every process reads when it reports, so that a lost message or an outage of Redis delays it only.
 */

export type ProcessConfig = ConfigState & {
  name: string;
  role: 'ingress' | 'worker' | 'admin';
  /** When it reported; milliseconds since the epoch, by its clock. */
  at: number;
  /** The last order that it has carried out. */
  order: number;
};

/** Milliseconds between two looks for an order. */
const lookEveryMs = 2000;
/** Milliseconds between two reports of a state that has not changed. */
const reportEveryMs = 5000;
/** Milliseconds after which a process that has not reported is gone, or cannot reach Redis. */
const silentMs = 15_000;
/** Milliseconds after which the set of processes and the number of orders are forgotten if no process uses them. */
const forgottenMs = 86_400_000;

export type ReportConfigOptions = {
  redis: Redis;
  keys: Keyspace;
  process: Pick<ProcessConfig, 'name' | 'role'>;
  state(): ConfigState;
  /** An operator asks to read the config again. */
  onOrder(): void;
  onError(error: unknown): void;
};

export type ConfigReporting = {
  /** Reports a change at once. */
  changed(): void;
  /** Removes the process from the reports. */
  leave(): Promise<void>;
};

/** Reports this process' state until it leaves. */
export function reportConfig(options: ReportConfigOptions): ConfigReporting {
  const { redis, keys, process, state, onOrder, onError } = options;
  const own = keys.processConfig(process.name);
  /** Undefined until the counter was read: orders from before this process started do not concern it. */
  let order: number | undefined;
  let underWay: Promise<void> | undefined;
  let hasLeft = false;
  /** The last report without its time, and when it was due again. */
  let sent = '';
  let dueAt = 0;

  async function send(): Promise<void> {
    const report: Omit<ProcessConfig, 'at'> = { ...process, ...state(), order: order ?? 0 };
    const text = JSON.stringify(report);
    if (text === sent && performance.now() < dueAt) return;
    const all = keys.processConfigs();
    await Promise.all([
      redis.set(own, JSON.stringify({ ...report, at: Date.now() }), 'PX', silentMs),
      redis.sadd(all, process.name),
      redis.pexpire(all, forgottenMs),
    ]);
    sent = text;
    // A little earlier than the look that is due then.
    dueAt = performance.now() + reportEveryMs - lookEveryMs / 2;
  }

  async function obey(): Promise<void> {
    const found = Number((await redis.get(keys.reloadOrders())) ?? 0);
    const isNew = order !== undefined && found !== order && found !== 0;
    order = found;
    if (isNew && !hasLeft) onOrder();
  }

  async function report(): Promise<void> {
    await obey();
    await send();
  }

  /** During an outage of Redis one report waits, not one for every interval. */
  function start(): void {
    if (hasLeft) return;
    underWay ??= report()
      .catch(onError)
      .finally(() => (underWay = undefined));
  }

  start();
  const timer = setInterval(start, lookEveryMs);
  return {
    changed: () => void Promise.resolve(underWay).then(start),
    async leave() {
      hasLeft = true;
      clearInterval(timer);
      // A report under way would be written after the removal.
      await underWay;
      await Promise.all([redis.del(own), redis.srem(keys.processConfigs(), process.name)]);
    },
  };
}

/** The processes that have reported lately, sorted by role and name. Forgets the others. */
export async function readProcessConfigs(redis: Redis, keys: Keyspace): Promise<ProcessConfig[]> {
  const names = await redis.smembers(keys.processConfigs());
  if (names.length === 0) return [];
  const texts = await redis.mget(names.map(keys.processConfig));
  const gone = names.filter((_name, place) => typeof texts[place] !== 'string');
  if (gone.length > 0) await redis.srem(keys.processConfigs(), ...gone);
  return texts
    .flatMap((text) => parse(text ?? '') ?? [])
    .sort((a, b) => (`${a.role} ${a.name}` < `${b.role} ${b.name}` ? -1 : 1));
}

/** Asks all processes to read their config again; returns the number of the order. */
export async function orderReload(redis: Redis, keys: Keyspace): Promise<number> {
  const [order] = await Promise.all([
    redis.incr(keys.reloadOrders()),
    redis.pexpire(keys.reloadOrders(), forgottenMs),
  ]);
  return order;
}

/** Undefined for a report of another version. */
function parse(text: string): ProcessConfig | undefined {
  const value = readJsonObject(text);
  if (!value) return undefined;
  const { name, role, at, hash, order, problems, needsRestart } = value;
  const isWhole =
    [name, role, hash].every((one) => typeof one === 'string') &&
    [at, order].every((one) => typeof one === 'number') &&
    Array.isArray(problems) &&
    Array.isArray(needsRestart);
  return isWhole ? (value as ProcessConfig) : undefined;
}
