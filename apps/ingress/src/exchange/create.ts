import type { Account } from '@millrace/shared/domain/request';
import { StoreSilent } from '@millrace/shared/store/outage';
import { isOutOfMemory } from '@millrace/shared/store/redis-failure';
import type { Submit, SubmitOutcome } from '@millrace/shared/store/submit/port';
import type { AdmissionController } from '../admission/controller.ts';
import { refuse, refuseFor } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { within } from '../store-timeout.ts';
import type { Prepared } from './prepare.ts';

export type Creation =
  | { kind: 'created'; isWaiting: boolean }
  /** The Idempotency-Key belongs to this request, whose answer the client gets. */
  | { kind: 'joined'; id: string }
  /** `isWanted` returned false before anything was sent. */
  | { kind: 'called_off' }
  /** The request is not in Redis: it was not sent, or Redis refused it. */
  | { kind: 'not_created'; refused: Refused; late?: Late }
  /** Redis may have the request. */
  | { kind: 'unknown'; refused: Refused; late: Late };

/** The reply of Redis to a request that was sent: it may still arrive, or a first reply may have been lost. */
export type Late = Promise<SubmitOutcome>;

export type CreatorDeps = {
  submit: Submit;
  admission: Pick<AdmissionController, 'track' | 'checkMemory'>;
  /** Resolves when the connection to Redis is up. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
  now?(): number;
};

export type Creator = {
  /**
   * Stores the request and queues its job, in one step. `isWanted` is called before anything is sent: if the
   * client has left by then, there is no request to end. `account`: for the request's job. Never rejects.
   */
  create(
    prepared: Prepared,
    account: Account | undefined,
    isWanted: () => boolean,
  ): Promise<Creation>;
  /** Whether `create` of this request has not returned yet. */
  isCreating(id: string): boolean;
  /** A command about the request will follow its creation, which must not be repeated after that command. */
  giveUp(id: string): void;
};

export function createCreator(deps: CreatorDeps): Creator {
  const { submit, admission, whenReady, onError, now = Date.now } = deps;
  /** Requests that are being created; false if the request was ended or given up meanwhile. */
  const creating = new Map<string, boolean>();

  async function create(
    prepared: Prepared,
    account: Account | undefined,
    isWanted: () => boolean,
  ): Promise<Creation> {
    const { id } = prepared.meta;
    creating.set(id, true);
    const ticket = admission.track(prepared.job.standing);
    try {
      const creation =
        (await awaitRedis(isWanted)) ?? (await send(prepared, account, ticket.sending));
      if (creation.kind === 'created') ticket.created(creation.isWaiting);
      else ticket.withdrawn();
      return creation;
    } finally {
      creating.delete(id);
    }
  }

  /** Nothing is queued in a connection that is down, because Redis would get it when no client waits any more. */
  async function awaitRedis(isWanted: () => boolean): Promise<Creation | undefined> {
    try {
      await within(whenReady());
      const refused = await within(admission.checkMemory());
      if (refused) return { kind: 'not_created', refused };
    } catch (error) {
      return { kind: 'not_created', refused: refuseAndNote(error) };
    }
    // If the client leaves from now on, the end of its request follows the creation on the same connection.
    return isWanted() ? undefined : { kind: 'called_off' };
  }

  async function send(
    { meta, job, body, inbox, once }: Prepared,
    account: Account | undefined,
    onSending: () => void,
  ): Promise<Creation> {
    const sent = { meta: { ...meta, sentAt: now() }, job: { ...job, account }, body, inbox, once };
    onSending();
    const submitted = submit(sent, () => creating.get(meta.id) === true);
    try {
      const outcome = await within(submitted);
      if (outcome.kind !== 'conflict') return outcome;
      return { kind: 'not_created', refused: refuse('idempotency_key_reused') };
    } catch (error) {
      const refused = refuseAndNote(error);
      return { kind: isOutOfMemory(error) ? 'not_created' : 'unknown', refused, late: submitted };
    }
  }

  function refuseAndNote(error: unknown): Refused {
    if (!(error instanceof StoreSilent)) onError(error);
    return refuseFor(error);
  }

  return {
    create,
    isCreating: (id) => creating.has(id),
    giveUp(id) {
      if (creating.has(id)) creating.set(id, false);
    },
  };
}
