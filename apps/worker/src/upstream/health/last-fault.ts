import type { Fault } from '@millrace/shared/domain/fault';

/** The newest fault of a target that affects its health, for operators. */
export type LastFault = {
  code: string;
  /** Without keys, and no longer than `longestMessage`. */
  message: string;
  /** The status of the provider's answer, if there was one. */
  httpStatus?: number;
  /** Milliseconds since the epoch. */
  at: number;
};

/** Characters; bounded because workers exchange it and a provider may send a whole page. */
const longestMessage = 300;

export const lastFaultOf = ({ code, message, httpStatus }: Fault, at: number): LastFault => ({
  code,
  message: message.slice(0, longestMessage),
  ...(httpStatus !== undefined && { httpStatus }),
  at,
});

/** Parses a fault from another worker; undefined if it is malformed. */
export function readLastFault(said: unknown): LastFault | undefined {
  if (typeof said !== 'object' || said === null) return undefined;
  const { code, message, httpStatus, at } = said as Record<string, unknown>;
  if (typeof code !== 'string' || typeof message !== 'string' || typeof at !== 'number') {
    return undefined;
  }
  return {
    code,
    message: message.slice(0, longestMessage),
    ...(typeof httpStatus === 'number' && { httpStatus }),
    at,
  };
}
