/**
 * Why Redis could not be reached, as the end of a sentence and without secrets. Replies of Redis have their
 * code as the first word of the text, system errors in `code`.
 */
export function redisFailure(error: unknown, url: string, timeoutMs: number): string {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/ETIMEDOUT/.test(`${code} ${message}`)) {
    // A Redis without TLS takes the handshake for the beginning of a command and waits for the rest.
    return `no answer within ${timeoutMs} ms${/^rediss/i.test(url) ? ' (does it speak TLS?)' : ''}`;
  }
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (code === 'ENOENT') return 'there is no such socket';
  if (code === 'EACCES') return 'no permission to open the socket';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the host name cannot be resolved';
  if (/^WRONGPASS|^ERR invalid password/.test(message)) return 'wrong user name or password';
  if (/^ERR AUTH|without any password configured|no password is set/.test(message)) {
    return 'a password was given, but it asks for none';
  }
  if (message.startsWith('NOAUTH')) return 'it asks for a password, and none was given';
  if (message.startsWith('NOPERM')) return 'the user may not do what is needed (ACL)';
  if (message.startsWith('LOADING')) return `still loading its data after ${timeoutMs} ms`;
  if (/CERT|SSL|TLS|SIGNATURE|ALTNAME/.test(code)) return `TLS failed (${code})`;
  if (/^Protocol error|RESP/.test(message)) return 'what answers there is not Redis';
  if (code === 'ECONNRESET' || message === 'Connection is closed.') {
    return 'the connection was closed at once: not Redis, or one that expects TLS (rediss://)';
  }
  return `it cannot be used (${code || message.slice(0, 80)})`;
}

/**
 * Temporary refusals: while Redis loads or saves its data, after a failover until the new primary is known,
 * while memory is short or a script runs.
 */
const passing =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY|OOM|UNBLOCKED)\s/;

/** A key has the wrong type: a permanent error that concerns this key only. */
export const isDamage = (error: unknown): boolean =>
  error instanceof Error && /^WRONGTYPE\s/.test(error.message);

/** Redis is at its memory limit and has refused the command, or the whole script before its first write. */
export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('OOM');

/** A command was not answered, or not sent, before its connection was closed for good. */
export const isConnectionClosed = (error: unknown): boolean =>
  error instanceof Error && error.message === 'Connection is closed.';

/** Whether the error is temporary: Redis refused a command for now, or the connection was closed. */
export const passesByItself = (error: unknown): boolean =>
  (error instanceof Error && passing.test(error.message)) || isConnectionClosed(error);
