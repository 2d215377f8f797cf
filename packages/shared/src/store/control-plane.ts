import type { Keyspace } from './keys.ts';
import type { Redis } from './redis.ts';

/*
 * Where the control plane listens. It publishes its address in Redis, and an ingress passes `/admin/…` on to it, so that one
 * URL serves everything. The token lets it trust these requests: only processes with access to this Redis know it.
 */

export type ControlPlane = {
  /** Without a trailing slash. */
  url: string;
  token: string;
};

/** The request header with the token. */
export const controlPlaneToken = 'x-millrace-control-plane-token';

/** Who sends a request, as the ingress has authenticated it: URI-encoded. The control plane believes it with the token. */
export const controlPlaneActor = 'x-millrace-actor';
/** The address of the client. */
export const controlPlaneClient = 'x-millrace-client';
/** The `x-request-id` of the answer that the client gets. */
export const controlPlaneRequest = 'x-millrace-request';

/** Milliseconds after which an address that its process does not publish again is gone. */
const ttlMs = 15_000;
const renewMs = 5000;

/**
 * Publishes the address until `stop`; resolves when ingresses can find it. With several control planes, ingresses use the
 * one that published last.
 */
export async function publishControlPlane(
  redis: Redis,
  keys: Keyspace,
  { controlPlane, onError }: { controlPlane: ControlPlane; onError(error: unknown): void },
): Promise<{ stop(): Promise<void> }> {
  const text = JSON.stringify(controlPlane);
  const publish = () => redis.set(keys.controlPlane(), text, 'PX', ttlMs);
  await publish();
  const timer = setInterval(() => void publish().catch(onError), renewMs);
  return {
    async stop() {
      clearInterval(timer);
      // Another one may have published its own since.
      if ((await redis.get(keys.controlPlane())) === text) await redis.del(keys.controlPlane());
    },
  };
}

export async function findControlPlane(
  redis: Redis,
  keys: Keyspace,
): Promise<ControlPlane | undefined> {
  const text = await redis.get(keys.controlPlane());
  return text === null ? undefined : (JSON.parse(text) as ControlPlane);
}
