import { expect, it } from 'vitest';
import { fault } from '../continuation/history.fixture.ts';
import { createFaultLog } from './fault-log.ts';

const target = { provider: 'p', model: 'm' };

function start() {
  const lines: string[] = [];
  const clock = { now: 0 };
  const line = (level: string) => (fields: object) =>
    lines.push(`${level} ${JSON.stringify(fields)}`);
  const logger = { error: line('error'), warn: line('warn'), debug: line('debug') };
  const log = createFaultLog({ logger: logger as never, now: () => clock.now });
  const tell = (code: Parameters<typeof fault>[0], more: object = {}) =>
    log({
      request: 'req_1',
      target,
      keeper: target,
      fault: fault(code, { message: 'm', ...more }),
    });
  return { lines, clock, tell };
}

it('an operator’s fault is an error, others are warnings or nothing, and the provider’s words are at debug', () => {
  const { lines, tell } = start();
  const error = { message: 'No.', type: 'x', param: null, code: 'no_key' };
  tell('upstream_auth_failed', { httpStatus: 401, error, detail: '401 no_key: No.' });
  tell('upstream_server_error', { error: { ...error, code: 'No key, and words.' }, detail: 'No.' });
  tell('upstream_reset', { detail: 'It closed (UND_ERR_SOCKET).' });
  tell('upstream_rejected', { detail: '400: No.' });
  tell('upstream_idle_timeout', { isEcho: true });
  expect(lines).toEqual([
    'error {"request":"req_1","provider":"p","model":"m","code":"upstream_auth_failed","status":401,"provider_code":"no_key"}',
    'debug {"request":"req_1","provider":"p","model":"m","code":"upstream_auth_failed","reason":"401 no_key: No."}',
    'warn {"request":"req_1","provider":"p","model":"m","code":"upstream_server_error","provider_code":"error"}',
    'debug {"request":"req_1","provider":"p","model":"m","code":"upstream_server_error","reason":"No."}',
    'warn {"request":"req_1","provider":"p","model":"m","code":"upstream_reset","reason":"It closed (UND_ERR_SOCKET)."}',
  ]);
});

it('a target that fails on every request has a line in ten seconds, which counts the others', () => {
  const { lines, clock, tell } = start();
  for (clock.now = 0; clock.now < 10_000; clock.now += 10) tell('upstream_auth_failed');
  expect(lines).toHaveLength(1);
  tell('upstream_auth_failed');
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain('"repeated":999');
});
