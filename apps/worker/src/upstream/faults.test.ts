import { expect, test } from 'vitest';
import { connectError, toFault, UpstreamError } from './faults.ts';

const failed = (code: string, more: object = {}) =>
  Object.assign(new Error('secret words'), { code, ...more });

test.each([
  ['ECONNRESET', 'upstream_reset'],
  ['EPIPE', 'upstream_reset'],
  ['ETIMEDOUT', 'upstream_reset'],
  ['UND_ERR_SOCKET', 'upstream_reset'],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'upstream_reset'],
  ['HPE_INVALID_EOF_STATE', 'upstream_reset'],
  ['HPE_INVALID_CONSTANT', 'upstream_invalid_response'],
  ['UND_ERR_HEADERS_OVERFLOW', 'upstream_invalid_response'],
  ['UND_ERR_INVALID_ARG', 'provider_not_configured'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'upstream_tls_failed'],
  ['CERT_HAS_EXPIRED', 'upstream_tls_failed'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'upstream_tls_failed'],
  ['EPROTO', 'upstream_tls_failed'],
  ['ECONNREFUSED', 'upstream_unreachable'],
  ['EMFILE', 'local_resources_exhausted'],
  ['SOMETHING_NEW', 'upstream_reset'],
])('a request that fails with %s: %s', (cause, code) => {
  const fault = toFault(failed(cause));
  expect(fault.code).toBe(code);
  expect(fault.detail).toContain(`(${cause})`);
  expect(fault.detail).not.toContain('secret');
  expect(fault.message).toMatch(/^[A-Z][a-zA-Z ]+\.$/);
});

test('calm that HTTP/2 asks for is no reset', () => {
  const asked = failed('HTTP/2 ENHANCE_YOUR_CALM', { http2ErrorCode: 11 });
  expect(toFault(asked).code).toBe('upstream_overloaded');
});

test.each([
  ['ECONNREFUSED', 'upstream_unreachable'],
  ['ECONNRESET', 'upstream_unreachable'],
  ['ENOTFOUND', 'upstream_unreachable'],
  ['ETIMEDOUT', 'upstream_connect_timeout'],
  ['EADDRNOTAVAIL', 'local_resources_exhausted'],
  ['EMFILE', 'local_resources_exhausted'],
  ['EPERM', 'local_resources_exhausted'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'upstream_tls_failed'],
])('a connection that does not come about with %s: %s', (cause, code) => {
  const { fault } = connectError(failed(cause), 'The proxy p:1');
  expect(fault.code).toBe(code);
  expect(fault.message).toMatch(/^[A-Z][a-zA-Z ]+\.$/);
});

test('when every address fails, the first one tells why', () => {
  const all = new AggregateError([failed('ECONNREFUSED'), failed('ENETUNREACH')]);
  expect(connectError(all, 'The proxy p:1').fault).toEqual({
    code: 'upstream_unreachable',
    message: 'The provider could not be reached.',
    detail: 'The proxy p:1 could not be reached (ECONNREFUSED).',
  });
});

test('what is known already stays as it is', () => {
  const known = new UpstreamError('upstream_pool_exhausted', 'full');
  expect(connectError(known, 'x')).toBe(known);
  const message = 'All connections to the provider are in use.';
  expect(toFault(known)).toEqual({ code: 'upstream_pool_exhausted', message, detail: 'full' });
});
