/* The records of the debug log as the page shows them (docs/operating.md, the debug log). Pure. */

/** `GET /admin/requests/{id}/debug`: one upstream call. Times are milliseconds since the epoch. */
export type DebugRecord = {
  id: string;
  request: string;
  key: string | null;
  model: string;
  provider: string;
  target_model: string;
  worker: string;
  started_at: number;
  ended_at: number;
  /** `completed`, the code of a fault, `aborted` or `superseded`. */
  outcome: string;
  sent: { path: string; headers: Record<string, string>; body: string };
  /** Absent: the provider sent no head. */
  answer?: {
    status: number;
    head_ms: number;
    headers: Record<string, string>;
    encoding?: 'base64';
    events: { ms: number; text: string }[];
  };
  /** Bytes that were left out, because the record was larger than its bound. */
  omitted_bytes: number;
};

/** A body for reading: JSON is indented, anything else stays as it is. */
export function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

export type Gap = { ms: number; text: string; pauseMs: number };

/** The events of an answer with the pause before each; the first one's is the wait for it since the call began. */
export function withPauses(events: readonly { ms: number; text: string }[]): Gap[] {
  return events.map(({ ms, text }, index) => ({
    ms,
    text,
    pauseMs: Math.max(0, ms - (events[index - 1]?.ms ?? 0)),
  }));
}

/** What a record is as a curl command; the key of the provider is not in the record. */
export function asCurl({ sent }: DebugRecord, baseUrl: string): string {
  const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const headers = Object.entries(sent.headers).map(
    ([name, value]) => `  -H ${quoted(`${name}: ${value}`)}`,
  );
  return [`curl ${quoted(baseUrl + sent.path)}`, ...headers, `  -d ${quoted(sent.body)}`].join(
    ' \\\n',
  );
}
