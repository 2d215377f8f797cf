import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { longestGoLine, sdkDecoders, splitField } from './sdk-decoders.ts';
import type { SdkDecoder, SdkMessage, SdkName } from './sdk-decoders.ts';
import { broken, BrokenRule, createChunkRules } from './strict-chunks.ts';

/**
 * The strictest client of a plain stream: it reads the stream as the SDKs of four languages do, all at once,
 * and reports a fault if one of them could not read it.
 */
export type StrictReader = {
  /** Takes a part of the body, split anywhere. */
  push(text: string): void;
  /** `isComplete`: the response had its proper end; otherwise the end is not judged. */
  end(isComplete: boolean): void;
  /** The first rule that the stream broke, with the line. */
  readonly fault: Error | undefined;
};

/** The client's options. */
export type AskedFor = { usage: boolean; eventIds: boolean };

const nothing: AskedFor = { usage: false, eventIds: false };

export function readStrictly(asked: Partial<AskedFor> = {}): StrictReader {
  const { usage, eventIds } = { ...nothing, ...asked };
  const decoders = Object.entries(sdkDecoders).map(
    ([name, create]) => ({ name: name as SdkName, decode: create() }) satisfies NamedDecoder,
  );
  const rules = createChunkRules({ usage });
  let fault: Error | undefined;
  let rest = '';
  /** Fields of an event that has no blank line yet. */
  let pending = false;
  let ending: 'done' | 'error' | undefined;

  function take(line: string): void {
    checkLine(line, eventIds);
    const messages = decoders.map(({ name, decode }) => ({ name, message: decode(line) }));
    pending = line === '' ? false : pending || !line.startsWith(':');
    const given = messages.filter(({ message }) => message !== undefined);
    if (given.length === 0) return;
    for (const { name, message } of messages) {
      if (!message) broken(`${name} sees no event where ${given[0]?.name} sees one`);
      checkData(name, message);
    }
    judge(messages[0]?.message?.data ?? '');
  }

  function judge(data: string): void {
    if (ending === 'done') broken('an event behind [DONE]');
    if (ending === 'error') broken('an event behind an error');
    if (data === '[DONE]') {
      rules.finish();
      ending = 'done';
      return;
    }
    const value = JSON.parse(data) as Record<string, unknown>;
    if (isErrorEvent(value)) ending = 'error';
    else rules.take(value);
  }

  function attempt(work: () => void, where: string): void {
    if (fault) return;
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof BrokenRule)) throw thrown;
      fault = new Error(`a plain stream breaks a rule: ${thrown.message}; at ${where}`);
    }
  }

  return {
    push(text) {
      const lines = text.split('\n');
      lines[0] = rest + (lines[0] ?? '');
      rest = lines.pop() ?? '';
      for (const line of lines) attempt(() => take(line), JSON.stringify(line.slice(0, 300)));
    },
    end(isComplete) {
      if (!isComplete) return;
      attempt(() => {
        if (rest !== '' || pending) broken('the last event has no blank line behind it');
        if (ending === undefined) broken('neither [DONE] nor an error');
      }, 'its end');
    },
    get fault() {
      return fault;
    },
  };
}

type NamedDecoder = { name: SdkName; decode: SdkDecoder };

function checkLine(line: string, eventIds: boolean): void {
  // The others end a line at a carriage return, Go does not.
  if (line.includes('\r')) broken('a carriage return');
  if (Buffer.byteLength(line) > longestGoLine) broken('a line that is too long for openai-go');
  const [field] = splitField(line);
  if (field === 'event') broken('an event with a name');
  if (field === 'retry') broken('a retry field');
  if (field === 'id' && !eventIds) broken('an id, for which the client did not ask');
}

function checkData(name: SdkName, { data }: SdkMessage): void {
  if (data.startsWith('[DONE]')) return;
  const value = parse(data);
  if (value === undefined) {
    broken(`${name} cannot parse the data ${JSON.stringify(data.slice(0, 100))}`);
  }
  if (typeof value !== 'object' || value === null) broken(`${name} finds no object in an event`);
}

/** Undefined if the data is not JSON. */
function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

/** The reader of a response, if that is a plain stream of Millrace; `body`: of the request, as an object or JSON. */
export function readerOf(
  request: { headers: OutgoingHttpHeaders; body: unknown },
  response: { headers: IncomingHttpHeaders },
): StrictReader | undefined {
  const { 'content-type': type = '', 'x-millrace-attempts': attempts } = response.headers;
  if (attempts === undefined || !type.startsWith('text/event-stream')) return undefined;
  const body = typeof request.body === 'string' ? parse(request.body) : request.body;
  const { stream_options: options } = (body ?? {}) as {
    stream_options?: { include_usage?: boolean };
  };
  const { 'x-millrace-event-ids': ids, 'last-event-id': cursor } = request.headers;
  return readStrictly({
    usage: options?.include_usage === true,
    eventIds: ids === 'on' || (ids === undefined && cursor !== undefined),
  });
}

/**
 * Returns `ended`, whatever the outcome. Throws if an SDK could not have read it, and fails the test run,
 * even if a test does not wait for the end.
 */
export function strictly<T extends { fault?: string | undefined }>(ended: T): T {
  if (ended.fault === undefined) return ended;
  const fault = new Error(ended.fault);
  void Promise.reject(fault);
  throw fault;
}

const isErrorEvent = ({ error }: Record<string, unknown>): boolean =>
  typeof error === 'object' && error !== null;
