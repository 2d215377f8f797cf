/* The debug log: whole upstream calls, as the worker that made them saw them. Times are milliseconds since the epoch. */

export type DebugRecord = {
  /** Unique: a record that is stored twice is shown once. */
  id: string;
  /** The id of the client's request, of which this is one upstream call. */
  request: string;
  key: string | null;
  model: string;
  provider: string;
  target_model: string;
  /** The worker. */
  worker: string;
  started_at: number;
  ended_at: number;
  /** `completed`, the code of a fault, `aborted` or `superseded`. */
  outcome: string;
  sent: { path: string; headers: Readonly<Record<string, string>>; body: string };
  /** Absent: the provider sent no head. */
  answer?: {
    status: number;
    /** Milliseconds from the start to the head. */
    head_ms: number;
    headers: Readonly<Record<string, string>>;
    /** Each `text` is base64, because the answer was compressed (`content-encoding`). Absent: it is text. */
    encoding?: 'base64';
    /** What came in one piece, with the milliseconds from the start. */
    events: readonly { ms: number; text: string }[];
  };
  /** Bytes that were left out, of the request and of the answer: the record was larger than its bound. */
  omitted_bytes: number;
};

/** Bytes of one record, of request and answer together. */
export const maxRecordBytes = 512 * 1024;

/** Most records that wait in Redis for the control plane, compressed; further ones are dropped. */
export const maxWaitingRecords = 32;
