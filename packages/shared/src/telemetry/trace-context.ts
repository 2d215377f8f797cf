import { createHash, randomBytes } from 'node:crypto';

/* W3C trace context: the headers `traceparent` and `tracestate`, and the ids of the spans of a request. */

/** The span of a request in an ingress. Only sampled requests have one. */
export type TraceContext = {
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits. */
  spanId: string;
  /** The client's span. */
  parentSpanId?: string | undefined;
  /** The client's `tracestate`. */
  state?: string | undefined;
};

export type Parent = { traceId: string; spanId: string; isSampled: boolean };

/** `version-trace-parent-flags`; later versions may add fields at the end. */
const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const noId = /^0+$/;
/** The longest `tracestate` that every participant has to pass on. */
const maxStateChars = 512;

/** Undefined for a header that is not valid: it counts as none. */
export function readTraceparent(text: unknown): Parent | undefined {
  if (typeof text !== 'string') return undefined;
  const [, version = '', traceId = '', spanId = '', flags = '', more] = pattern.exec(text) ?? [];
  if (version === '' || version === 'ff' || (version === '00' && more !== undefined)) {
    return undefined;
  }
  if (noId.test(traceId) || noId.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export const traceparentOf = ({ traceId, spanId }: Pick<TraceContext, 'traceId' | 'spanId'>) =>
  `00-${traceId}-${spanId}-01`;

const readState = (text: unknown): string | undefined =>
  typeof text === 'string' && text !== '' && text.length <= maxStateChars ? text : undefined;

export type TraceHeaders = Readonly<Record<string, unknown>>;

/**
 * Begins the trace of a request, or continues its client's; undefined if it is not sampled. A client with a valid
 * `traceparent` decides that; of the other requests, the share `sample` (0 to 1) is.
 */
export function beginTrace(
  headers: TraceHeaders,
  sample: number,
  random: () => number = Math.random,
): TraceContext | undefined {
  const parent = readTraceparent(headers['traceparent']);
  if (parent ? !parent.isSampled : random() >= sample) return undefined;
  const spanId = randomBytes(8).toString('hex');
  if (!parent) return { traceId: randomBytes(16).toString('hex'), spanId };
  const { traceId, spanId: parentSpanId } = parent;
  return { traceId, spanId, parentSpanId, state: readState(headers['tracestate']) };
}

/**
 * The id of a span that follows from what it stands for: a worker that takes a request over names the spans of the worker that
 * died as that one would have.
 */
export const spanIdOf = (requestId: string, part: string): string =>
  createHash('sha256').update(`${requestId} ${part}`).digest('hex').slice(0, 16);
