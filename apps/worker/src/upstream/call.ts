import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { Dispatcher } from 'undici';

export type UpstreamRequest = {
  path: string;
  headers: Record<string, string>;
  body: string;
};

/** The response as it comes. After `onEnd` or `onFault` nothing follows; exactly one of them comes, unless aborted. */
export type ResponseSink = {
  onHead(status: number, headers: ResponseHeaders): void;
  onData(bytes: Buffer): void;
  onEnd(): void;
  onFault(fault: Fault): void;
};

/** Milliseconds that a response may take to end after the answer in it was whole. */
const lingerMs = 1000;

export type ResponseHeaders = Record<string, string | string[] | undefined>;

export type UpstreamCall = {
  /**
   * The answer is whole: the sink hears nothing more, and the connection goes back to its pool as
   * soon as the response has ended in order. One that lingers is closed.
   */
  release(): void;
  /** Closes the connection at once; the sink hears nothing more. Idempotent. */
  abort(): void;
  pause(): void;
  resume(): void;
};

/** Makes one POST. undici's handler is used directly: no stream object, no promise per chunk. */
export function callUpstream(
  dispatcher: Dispatcher,
  request: UpstreamRequest,
  sink: ResponseSink,
): UpstreamCall {
  let controller: Dispatcher.DispatchController | undefined;
  let over = false;
  /** Kept for a request that waits for its connection: it has nobody to tell yet. */
  let paused = false;
  let lingering: NodeJS.Timeout | undefined;

  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(started) {
      controller = started;
      if (over) started.abort(aborted());
      else if (paused) started.pause();
    },
    onResponseStart(_controller, status, headers) {
      // 1xx are information; the response is still to come.
      if (!over && status >= 200) sink.onHead(status, headers);
    },
    onResponseData(_controller, bytes) {
      if (!over) sink.onData(bytes);
    },
    onResponseEnd() {
      clearTimeout(lingering);
      if (over) return;
      over = true;
      sink.onEnd();
    },
    onResponseError(_controller, error) {
      clearTimeout(lingering);
      if (over) return;
      over = true;
      sink.onFault(toFault(error));
    },
  };

  const { path, headers, body } = request;
  dispatcher.dispatch({ method: 'POST', path, headers, body }, handler);

  function abort(): void {
    over = true;
    controller?.abort(aborted());
  }

  return {
    release() {
      if (over) return;
      over = true;
      lingering = setTimeout(abort, lingerMs);
      lingering.unref();
    },
    abort,
    pause() {
      paused = true;
      controller?.pause();
    },
    resume() {
      paused = false;
      controller?.resume();
    },
  };
}

const aborted = () => new Error('the attempt is over');

/** By undici's and the system's codes; anything else on a connection that stood is a reset. */
const faultCodes: Record<string, FaultCode> = {
  UND_ERR_CONNECT_TIMEOUT: 'upstream_connect_timeout',
  ECONNREFUSED: 'upstream_unreachable',
  ENOTFOUND: 'upstream_unreachable',
  EAI_AGAIN: 'upstream_unreachable',
  EHOSTUNREACH: 'upstream_unreachable',
  ENETUNREACH: 'upstream_unreachable',
  EADDRNOTAVAIL: 'upstream_unreachable',
  CERT_HAS_EXPIRED: 'upstream_unreachable',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'upstream_unreachable',
  SELF_SIGNED_CERT_IN_CHAIN: 'upstream_unreachable',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'upstream_unreachable',
  ERR_TLS_CERT_ALTNAME_INVALID: 'upstream_unreachable',
};

const faultMessages: Partial<Record<FaultCode, string>> = {
  upstream_connect_timeout: 'The provider did not accept the connection in time.',
  upstream_unreachable: 'The provider could not be reached.',
  upstream_reset: 'The provider closed the connection before its answer was complete.',
};

function toFault(error: Error): Fault {
  const cause = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const code = faultCodes[cause] ?? 'upstream_reset';
  return { code, message: `${faultMessages[code] ?? ''}${cause === '' ? '' : ` (${cause})`}` };
}
