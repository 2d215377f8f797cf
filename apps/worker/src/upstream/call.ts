import type { Fault } from '@millrace/shared/domain/fault';
import type { Headers } from '@millrace/formats/port';
import type { UpstreamRequest } from '@millrace/formats/port';
import type { Dispatcher } from 'undici';
import { createDecoder } from './decode.ts';
import type { Decoder } from './decode.ts';
import { toFault } from './faults.ts';

/** What sends a request: a pool, in undici's words. A call can be aborted from the first moment on. */
export type Upstream = {
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
};

/** As a pool's, which knows the connection. */
type Controller = Dispatcher.DispatchController & { gather?(on: boolean): void };

/** The response as it comes. After `onEnd` or `onFault` nothing follows; exactly one of them comes, unless aborted. */
export type ResponseSink = {
  onHead(status: number, headers: Headers): void;
  onData(bytes: Buffer): void;
  onEnd(): void;
  onFault(fault: Fault): void;
};

/** Milliseconds that a response may take to end after the answer in it was whole. */
const lingerMs = 1000;

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
  /** Whether the answer may be read in larger pieces, while this process is late; at first it may not. */
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
  /** Kept for a request that waits for its connection: there is no controller yet. */
  let paused = false;
  let lingering: NodeJS.Timeout | undefined;
  let decoder: Decoder | undefined;
  /** The decoder has as much as it keeps. */
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

  /** The response ended, in order or not; what is still being unpacked comes before that. */
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
      // 1xx are information; the response is still to come.
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
  // undici keeps what it sends until the response has ended: the bytes, and so the text need not be kept beside them.
  const body = Buffer.from(request.body);
  // Streams are read as they come: packed ones come late, in blocks. Some senders pack all the same.
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
