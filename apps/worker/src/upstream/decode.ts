import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib';
import type { Fault } from '@millrace/shared/domain/fault';

/** Takes the packing off a response that its sender packed unasked. */
export type Decoder = {
  /** False when it has as much as it keeps: no more is wanted until `onRoom`. */
  write(bytes: Uint8Array): boolean;
  /**
   * Nothing more comes. Calls `over` behind the last of the data; where that is not whole, `onFault`, but
   * `over` all the same after a response that `broke` off.
   */
  end(over: () => void, broke: boolean): void;
  pause(): void;
  resume(): void;
  /** Nothing is called any more. Idempotent. */
  close(): void;
};

export type DecoderEvents = {
  onData(bytes: Buffer): void;
  onRoom(): void;
  onFault(fault: Fault): void;
};

/** Of 2, the bytes of its window: what RFC 9659 allows for HTTP. zlib's own bound is 128 MiB. */
const zstdWindowLog = 23;

/** By `content-encoding`; a Map, as the name is the provider's. */
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

/** Undefined where the body is as it is, or packed in a way that is not known here. */
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
