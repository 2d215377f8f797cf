import { localActor } from '@millrace/shared/domain/audit';
import { version } from '@millrace/shared/runtime/version';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isPassword } from '../../auth/admin.ts';
import { addressOf } from '../../auth/client-address.ts';
import { networkOf } from '../../auth/networks.ts';
import { newSession, setCookie } from '../../auth/sessions.ts';
import { apiError } from '../../api-error.ts';
import type { Services } from '../../services.ts';
import { parseObject, wrongType } from '../json-body.ts';
import { readSession, sendCookie, sessionPath, tooManyLogins, wayOf } from './access.ts';

/** Bytes of the body of a login. */
const maxLoginBytes = 4096;

/**
 * `POST /admin/session` logs an operator in, `GET` says who is logged in and what the console may do, `DELETE` logs out. Every
 * ingress answers them by itself, also without a control plane.
 */
export function sessionRoutes(
  scope: FastifyInstance,
  {
    config,
    audit,
    sessionKeys,
    loginThrottle: throttle,
    onError,
  }: Pick<Services, 'config' | 'audit' | 'sessionKeys' | 'loginThrottle' | 'onError'>,
): void {
  const record = (request: FastifyRequest, action: 'session.start' | 'session.end') => {
    const actor = config.admin?.user ?? localActor;
    void audit.record({ actor, address: addressOf(request), action, outcome: 'ok' });
  };

  scope.post(sessionPath, { bodyLimit: maxLoginBytes }, async (request, reply) => {
    const { admin } = config;
    const shown = readLogin(request.body);
    if (!admin) throw apiError('no_admin');
    const network = networkOf(addressOf(request));
    const waitMs = throttle.waitOf(network);
    if (waitMs > 0) throw tooManyLogins(waitMs);
    if (!isPassword(shown, admin)) {
      throttle.failed(network);
      throw apiError('wrong_password');
    }
    throttle.succeeded(network);
    // Another ingress may have made another one, after Redis has lost its data. Without Redis the secret that was read goes on.
    await sessionKeys.refresh().catch((error: unknown) => {
      if (!sessionKeys.keyOf(admin)) throw error;
      onError(error);
    });
    const key = sessionKeys.keyOf(admin);
    const now = Date.now();
    sendCookie(reply, setCookie(newSession(now), { key, now, ...wayOf(request) }));
    record(request, 'session.start');
    return reply.code(204).send();
  });

  scope.get(sessionPath, async (request, reply) => {
    const { admin, board, chaos } = config;
    const now = Date.now();
    const verdict =
      admin && (await readSession(request.headers.cookie, { admin, sessionKeys, now }));
    const expiresAt = verdict?.kind === 'valid' ? verdict.session.expiresAt : undefined;
    return reply.send({
      user: admin?.user ?? localActor,
      expires_at: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
      login_required: admin !== undefined,
      read_only: false,
      board,
      chaos,
      version,
    });
  });

  scope.delete(sessionPath, async (request, reply) => {
    const { admin } = config;
    if (admin) {
      const now = Date.now();
      const { kind } = await readSession(request.headers.cookie, { admin, sessionKeys, now });
      sendCookie(reply, setCookie(undefined, { key: undefined, now, ...wayOf(request) }));
      if (kind === 'valid') record(request, 'session.end');
    }
    return reply.code(204).send();
  });
}

function readLogin(body: unknown): { user: string; password: string } {
  const { user, password, ...others } = parseObject(body);
  if (typeof user !== 'string') throw wrongType('user', 'a string', user);
  if (typeof password !== 'string') throw wrongType('password', 'a string', password);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw apiError('unknown_parameter', { param: unknown });
  return { user, password };
}
