import type { Fault, FaultCode } from '@millrace/shared/domain/fault';

/**
 * An error that carries its fault, because its meaning is known where it occurs. Its message, with hosts and
 * system error codes, is for logs; clients see one text per code. No secrets.
 */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly fault: Fault;

  constructor(code: FaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.fault = { code, message: messages[code] ?? unknown, detail: message };
  }

  /** The same error for the other requests that the lost connection affected. */
  echo(): UpstreamError {
    const echo = new UpstreamError(this.fault.code, this.message, this.cause);
    echo.fault.isEcho = true;
    return echo;
  }
}

/** Messages for clients: they reveal nothing of the network between this worker and the provider. */
const messages: Partial<Record<FaultCode, string>> = {
  upstream_connect_timeout: 'The provider did not accept the connection in time.',
  upstream_unreachable: 'The provider could not be reached.',
  local_resources_exhausted: 'This server could not open a connection to the provider.',
  upstream_pool_exhausted: 'All connections to the provider are in use.',
  upstream_connection_stale: 'The provider closed the connection before the request was sent.',
  upstream_tls_failed: 'The TLS connection to the provider failed.',
  upstream_reset: 'The provider closed the connection before its answer was complete.',
  upstream_overloaded: 'The provider takes no more requests for now.',
  upstream_invalid_response: 'The provider sent something that is no HTTP.',
  provider_not_configured: 'The request cannot be sent to the provider as it is configured.',
};

const unknown = 'The connection to the provider failed.';

/**
 * Fault codes by the error codes of undici, Node and the system. Any other error on an established connection
 * is a reset.
 */
const faultCodes: Record<string, FaultCode> = {
  UND_ERR_CONNECT_TIMEOUT: 'upstream_connect_timeout',
  ECONNREFUSED: 'upstream_unreachable',
  ENOTFOUND: 'upstream_unreachable',
  EAI_AGAIN: 'upstream_unreachable',
  EAI_FAIL: 'upstream_unreachable',
  EAI_NODATA: 'upstream_unreachable',
  EHOSTUNREACH: 'upstream_unreachable',
  EHOSTDOWN: 'upstream_unreachable',
  ENETUNREACH: 'upstream_unreachable',
  ENETDOWN: 'upstream_unreachable',
  // This machine is out of ports, files or buffers, or its own rules forbid the connection.
  EADDRNOTAVAIL: 'local_resources_exhausted',
  EMFILE: 'local_resources_exhausted',
  ENFILE: 'local_resources_exhausted',
  ENOBUFS: 'local_resources_exhausted',
  ENOMEM: 'local_resources_exhausted',
  EACCES: 'local_resources_exhausted',
  EPERM: 'local_resources_exhausted',
  EPROTO: 'upstream_tls_failed',
  UND_ERR_HEADERS_OVERFLOW: 'upstream_invalid_response',
  // A key or a path with characters that a request cannot contain.
  UND_ERR_INVALID_ARG: 'provider_not_configured',
  ERR_INVALID_CHAR: 'provider_not_configured',
  ERR_HTTP2_INVALID_CONNECTION_HEADERS: 'provider_not_configured',
};

/** HTTP/2's ENHANCE_YOUR_CALM; other codes of a reset stream do not affect the next attempt. */
const enhanceYourCalm = 11;

/** The fault of a failed request. */
export function toFault(error: Error): Fault {
  if (error instanceof UpstreamError) return error.fault;
  const cause = codeOf(error);
  const code = faultCode(error, cause);
  const isEcho = Reflect.get(error, 'isEcho') === true;
  return {
    code,
    message: messages[code] ?? unknown,
    detail: explain(code, cause),
    ...(isEcho ? { isEcho } : {}),
  };
}

function faultCode(error: Error, cause: string): FaultCode {
  if (Reflect.get(error, 'http2ErrorCode') === enhanceYourCalm) return 'upstream_overloaded';
  if (isTls(cause)) return 'upstream_tls_failed';
  // The parser's code for a truncated response.
  if (cause === 'HPE_INVALID_EOF_STATE') return 'upstream_reset';
  if (cause.startsWith('HPE_')) return 'upstream_invalid_response';
  return faultCodes[cause] ?? 'upstream_reset';
}

const isTls = (cause: string): boolean =>
  /^ERR_(TLS|SSL)_/.test(cause) || /(^|_)CERT(_|$)|_CA$|LEAF_SIGNATURE$/.test(cause);

function explain(code: FaultCode, cause: string): string {
  const hint = isCertificateAlert(cause)
    ? ' It refused our certificate, or wants one (providers.*.tls.cert).'
    : '';
  return `${messages[code] ?? unknown}${hint}${cause === '' ? '' : ` (${cause})`}`;
}

/** TLS alerts with which a server rejects the client's certificate, not the protocol. */
const isCertificateAlert = (cause: string): boolean =>
  /^ERR_SSL_.*ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERT|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/.test(
    cause,
  );

/**
 * The error of a connection that could not be opened. `peer` names the other side (`The provider`, `The proxy
 * 10.0.0.1:3128`); a reset in this phase means that it is unreachable.
 */
export function connectError(error: Error, peer: string): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const cause = codeOf(error);
  const words = cause === '' ? '' : ` (${cause})`;
  if (isTls(cause) || cause === 'EPROTO') {
    return new UpstreamError('upstream_tls_failed', explain('upstream_tls_failed', cause), error);
  }
  if (faultCodes[cause] === 'local_resources_exhausted') {
    const message = `This worker could not open a connection${words}.`;
    return new UpstreamError('local_resources_exhausted', message, error);
  }
  if (cause === 'ETIMEDOUT') {
    const message = `${peer} did not accept the connection in time${words}.`;
    return new UpstreamError('upstream_connect_timeout', message, error);
  }
  return new UpstreamError('upstream_unreachable', `${peer} could not be reached${words}.`, error);
}

function codeOf(error: Error): string {
  const code: unknown = Reflect.get(error, 'code');
  if (typeof code === 'string') return code;
  // Every address was tried, and each failed with an error of its own.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error ? codeOf(first) : '';
}
