/* What a fleet records of the actions of its operators, of changes of its config, and of keys that it refused. */

/** Of a fixed set; an action that has no name of its own is recorded by its method and route. */
export type AuditAction =
  | 'key.create'
  | 'key.update'
  | 'key.rotate'
  | 'key.revoke'
  | 'key.refused'
  | 'fleet.drain'
  | 'fleet.resume'
  | 'config.reload'
  | 'config.check'
  | 'config.changed'
  | 'config.refused'
  | 'upstream.open'
  | 'upstream.close'
  | 'request.cancel'
  | 'request.delete'
  | 'request.move'
  | 'queue.change'
  | 'chaos'
  | 'webhook.replay'
  | 'webhook.delete'
  | 'session.start'
  | 'session.end'
  | (string & {});

export type AuditEntry = {
  /** Unique: an entry that is stored twice is one row. */
  id: string;
  /** Milliseconds since the epoch. */
  at: number;
  /** The name of the admin, `local` for this machine in a fleet without `admin`, or the name of a process. */
  actor: string;
  /** The address of the client. */
  address?: string | undefined;
  action: AuditAction;
  /** What was acted on: the id of a key, a process, a target, a request. */
  target?: string | undefined;
  /** `ok`, or the code of the error that was the answer. */
  outcome: string;
  /** More of it; never a secret or its digest. */
  detail?: Readonly<Record<string, unknown>> | undefined;
};

/** The actor in a fleet without `admin` in its config. */
export const localActor = 'local';

/**
 * Most audit entries that wait for the database, about 300 bytes each: 15 MB of Redis. Entries beyond are logged, and counted
 * as dropped.
 */
export const maxAuditBacklog = 50_000;

/** Refused keys come at the rate of an attack: they leave half of the stream to operators' actions. */
export const maxRefusedBacklog = maxAuditBacklog / 2;

/** Characters of an entry's detail as JSON; a longer one is not kept. */
export const maxAuditDetail = 4096;
