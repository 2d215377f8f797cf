import type { Redis } from 'ioredis';
import { isJsonObject } from '../../domain/json.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { loadScript, runScript } from '../script.ts';
import { listen } from '../subscription.ts';
import { maxKeys } from './port.ts';
import type { ApiKeyStore, CreatedKey, WriteOutcome } from './port.ts';

export type RedisApiKeysOptions = {
  redis: Redis;
  keys: Keyspace;
  /** A connection of its own for each subscription: a subscribed one takes no other command. */
  connect: () => Redis;
  /** Gets a record that cannot be read. */
  onDamaged(field: string, error: unknown): void;
  onError(error: unknown): void;
};

const { apiKeys: names } = records;
const write = loadScript(new URL('lua/write.lua', import.meta.url));

/** One hash with a record for each key and the version, and a channel in the same slot. */
export function createRedisApiKeys(options: RedisApiKeysOptions): ApiKeyStore {
  const { redis, keys, connect, onDamaged, onError } = options;
  const hash = keys.apiKeys();
  const channel = keys.apiKeyChanges();

  function decode(field: string, record: string): CreatedKey | undefined {
    try {
      return keyOf(record);
    } catch (error) {
      onDamaged(field, error);
      return undefined;
    }
  }

  async function change(id: string, seen: string, record: string): Promise<WriteOutcome> {
    const args = [names.key + id, seen, record, maxKeys];
    const kind = await runScript(redis, write, [hash, channel], args);
    return { kind: kind as WriteOutcome['kind'] };
  }

  return {
    async read() {
      const { [names.version]: version = '0', ...others } = await redis.hgetall(hash);
      const found = Object.entries(others).flatMap(([field, record]) => {
        const key = field.startsWith(names.key) ? decode(field, record) : undefined;
        return key ? [key] : [];
      });
      return { version: Number(version), keys: found };
    },
    async find(id) {
      const record = await redis.hget(hash, names.key + id);
      return record === null ? undefined : decode(names.key + id, record);
    },
    version: async () => Number((await redis.hget(hash, names.version)) ?? 0),
    write: async (key, seen) => change(key.id, seen ? textOf(seen) : '', textOf(key)),
    remove: async (seen) => change(seen.id, textOf(seen), ''),
    subscribe(onChange) {
      return listen(connect(), channel, { onText: onChange, onListening: onChange }, onError);
    },
  };
}

/** The same text for a key that was read and not changed: JSON keeps the order of fields, also of unknown ones. */
const textOf = (key: CreatedKey): string => JSON.stringify(key);

/** Throws on a record that this version cannot read. */
function keyOf(record: string): CreatedKey {
  const key: unknown = JSON.parse(record);
  const isKey =
    isJsonObject(key) &&
    typeof key['id'] === 'string' &&
    typeof key['createdAt'] === 'number' &&
    [key['secrets'], key['models'], key['ips']].every(Array.isArray);
  if (!isKey) throw new Error('an API key without its fields');
  return key as unknown as CreatedKey;
}
