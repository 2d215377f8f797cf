import type { Fault } from '@millrace/shared/domain/fault';
import type { Headers } from '@millrace/formats/port';
import type { UpstreamRequest } from '@millrace/formats/port';
import type { Dispatcher } from 'undici';
import { createDecoder } from './decode.ts';
import type { Decoder } from './decode.ts';
import { toFault } from './faults.ts';

/** Sends requests: a pool, with undici's interface. A call can be aborted at any time. */
export type Upstream = {
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
};

/** A pool's controller, which has access to the connection. */
type Controller = Dispatcher.DispatchController & { gather?(on: boolean): void };

/**
 * Receives the response. Exactly one of `onEnd` and `onFault` is called, as the last call, unless the call is
 * aborted.
 */
export type ResponseSink = {
  onHead(status: number, headers: Headers): void;
  onData(bytes: Buffer): void;
  onEnd(): void;
  onFault(fault: Fault): void;
};

/** Milliseconds in which a response must end after its answer was complete. */
const lingerMs = 1000;

export type UpstreamCall = {
  /**
   * The answer is complete: the sink gets no more calls, and the connection returns to its pool once the
   * response has ended in order. A response that does not end within `lingerMs` is aborted.
   */
  release(): void;
  /** Closes the connection at once; the sink gets no more calls. Idempotent. */
  abort(): void;
  pause(): void;
  resume(): void;
  /** Whether the answer may be read in larger pieces while this process is late; not before this is called. */
  gather(on: boolean): void;
};

/** Makes one POST. undici's handler is used directly: no stream object, no promise per chunk. */
export function callUpstream(
  dispatcher: Upstream,
  request: UpstreamRequest,
  sink: ResponseSink,
): UpstreamCall {
  let controller: Controller | undefined;
  let over = false;
  /** Remembered for a request that waits for its connection and has no controller yet. */
  let paused = false;
  let lingering: NodeJS.Timeout | undefined;
  let decoder: Decoder | undefined;
  /** The decoder's buffer is full. */
  let full = false;

  function flow(): void {
    if (paused || full) controller?.pause();
    else controller?.resume();
  }

  const unpacked = {
    onData: (bytes: Buffer) => sink.onData(bytes),
    onRoom() {
      full = false;
      flow();
    },
    onFault(fault: Fault) {
      const wasOver = over;
      abort();
      if (!wasOver) sink.onFault(fault);
    },
  };

  /** The response has ended, in order or not; pending decoded data comes first. */
  function end(broke: boolean, tell: () => void): void {
    clearTimeout(lingering);
    const finish = () => {
      if (over) return;
      over = true;
      tell();
    };
    if (decoder && !over) decoder.end(finish, broke);
    else finish();
  }

  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(started) {
      controller = started;
      if (over) started.abort(aborted());
      else if (paused) started.pause();
    },
    onResponseStart(_controller, status, headers) {
      // A 1xx status is informational; the response is still to come.
      if (over || status < 200) return;
      decoder = createDecoder(headers['content-encoding'], unpacked);
      if (paused) decoder?.pause();
      sink.onHead(status, headers);
    },
    onResponseData(_controller, bytes) {
      if (over) return;
      if (!decoder) sink.onData(bytes);
      else if (!decoder.write(bytes)) {
        full = true;
        flow();
      }
    },
    onResponseEnd: () => end(false, () => sink.onEnd()),
    onResponseError: (_controller, error) => end(true, () => sink.onFault(toFault(error))),
  };

  const { path } = request;
  // undici keeps the body until the response has ended: as bytes, so that the text can be freed.
  const body = request.bytes ?? Buffer.from(request.body);
  // A compressed stream arrives late, in blocks. Some senders compress nevertheless.
  const headers = { ...request.headers, 'accept-encoding': 'identity' };
  dispatcher.dispatch({ method: 'POST', path, headers, body }, handler);

  function abort(): void {
    over = true;
    decoder?.close();
    controller?.abort(aborted());
  }

  return {
    release() {
      if (over) return;
      over = true;
      decoder?.close();
      full = false;
      flow();
      lingering = setTimeout(abort, lingerMs);
      lingering.unref();
    },
    abort,
    gather: (on) => controller?.gather?.(on),
    pause() {
      paused = true;
      decoder?.pause();
      flow();
    },
    resume() {
      paused = false;
      decoder?.resume();
      flow();
    },
  };
}

const aborted = () => new Error('the attempt is over');
