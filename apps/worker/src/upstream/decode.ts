import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib';
import type { Fault } from '@millrace/shared/domain/fault';

/** Decompresses a response whose sender compressed it although it was asked not to. */
export type Decoder = {
  /** False if its buffer is full: write no more until `onRoom`. */
  write(bytes: Uint8Array): boolean;
  /**
   * The response has ended. Calls `over` after the last of the data. If the data is incomplete it calls
   * `onFault`, or, if the response `broke` off, `over` as well.
   */
  end(over: () => void, broke: boolean): void;
  pause(): void;
  resume(): void;
  /** No more callbacks are called. Idempotent. */
  close(): void;
};

export type DecoderEvents = {
  onData(bytes: Buffer): void;
  onRoom(): void;
  onFault(fault: Fault): void;
};

/** The window size as a power of 2: what RFC 9659 allows for HTTP. zlib's own bound is 128 MiB. */
const zstdWindowLog = 23;

/** By `content-encoding`; a Map, because the provider chooses the name. */
const makers = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
  [
    'zstd',
    () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog } }),
  ],
]);

/** Undefined if the body is not compressed, or in an unknown way. */
export function createDecoder(
  contentEncoding: string | string[] | undefined,
  { onData, onRoom, onFault }: DecoderEvents,
): Decoder | undefined {
  const make = makers.get(
    String(contentEncoding ?? '')
      .trim()
      .toLowerCase(),
  );
  if (!make) return undefined;
  const stream = make();
  let over: (() => void) | undefined;
  let isBroken = false;
  let isClosed = false;

  function close(): void {
    isClosed = true;
    stream.destroy();
  }

  stream.on('data', (bytes: Buffer) => {
    if (!isClosed) onData(bytes);
  });
  stream.on('drain', () => {
    if (!isClosed) onRoom();
  });
  stream.on('end', () => {
    if (!isClosed) over?.();
  });
  stream.on('error', ({ message }) => {
    if (isClosed) return;
    close();
    if (isBroken) {
      over?.();
      return;
    }
    onFault({
      code: 'upstream_invalid_response',
      message: `The provider packed its answer (${String(contentEncoding)}), and it cannot be unpacked: ${message}.`,
    });
  });

  return {
    write: (bytes) => isClosed || stream.write(bytes),
    end(then, broke) {
      over = then;
      isBroken = broke;
      stream.end();
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    close,
  };
}
