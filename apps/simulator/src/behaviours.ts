import { answerTo, closing, healthy, said, spoken } from './answer.ts';
import type { ErrorName, ProviderError } from './errors.ts';
import { retryHeaders } from './retry-headers.ts';
import type { Call, Frame, Script, Step } from './steps.ts';

// Answers with a fault in them.

export const cut: Script = function* (call) {
  const { options } = call;
  const answer = answerTo(call);
  yield* spoken(answer, options, 0, options.after);
  const next = answer.deltas[options.after]?.[0];
  if (options.byte > 0 && next !== undefined) {
    yield { kind: 'partial', event: next, bytes: options.byte };
  }
  yield { kind: 'cut', how: options.how };
};

export const stall: Script = function* (call) {
  const { after, silence, how } = call.options;
  yield* spoken(answerTo(call), call.options, 0, after);
  if (silence === 0) yield { kind: 'silence' };
  yield { kind: 'wait', ms: silence };
  yield { kind: 'cut', how };
};

export const stallWithComments: Script = function* (call) {
  const { after, silence, every, how } = call.options;
  yield* spoken(answerTo(call), call.options, 0, after);
  for (let waited = 0; silence === 0 || waited < silence; waited += every || 1) {
    yield { kind: 'keep-alive' };
    yield { kind: 'wait', ms: every || 1 };
  }
  yield { kind: 'cut', how };
};

export const malformedEvent: Script = (call) => withOneMore(call, call.format.malformed);

export const unreadableEvent: Script = (call) => withOneMore(call, call.format.unreadable);

function* withOneMore(call: Parameters<Script>[0], frame: Frame): ReturnType<Script> {
  const answer = answerTo(call);
  yield* spoken(answer, call.options, 0, call.options.after);
  yield { kind: 'frame', frame };
  yield* spoken(answer, call.options, call.options.after);
  yield* closing(answer);
}

export const damagedEvent: Script = function* (call) {
  const answer = answerTo(call);
  const { after } = call.options;
  yield* spoken(answer, call.options, 0, after);
  for (const event of answer.deltas[after] ?? []) yield { kind: 'damaged', event };
  yield* spoken(answer, call.options, after + 1);
  yield* closing(answer);
};

export const noTerminator: Script = function* (call) {
  const answer = answerTo(call);
  yield* spoken(answer, call.options);
  yield* said([...answer.finish, answer.usage]);
  yield* ending(call, false);
};

export const endWithoutFinish: Script = function* (call) {
  const { after, done } = call.options;
  yield* spoken(answerTo(call), call.options, 0, after);
  yield* ending(call, done === 1);
};

export const roleOnly: Script = function* (call) {
  yield { kind: 'head' };
  yield* said(answerTo(call).starts);
  yield* ending(call, call.options.done === 1);
};

export const resetAfterFinish: Script = function* (call) {
  const answer = answerTo(call);
  yield* spoken(answer, call.options);
  yield* said(answer.finish);
  yield { kind: 'cut', how: call.options.how };
};

export const errorFirst: Script = function* (call) {
  yield { kind: 'head' };
  if (call.options.first > 0) yield { kind: 'wait', ms: call.options.first };
  yield { kind: 'error', shape: 'bare', error: errorOf(call) };
  yield* ending(call, call.options.done === 1);
};

export const errorNamed: Script = function* (call) {
  yield* spoken(answerTo(call), call.options, 0, call.options.after);
  yield { kind: 'error', shape: 'named', error: errorOf(call) };
  yield* ending(call, call.options.done === 1);
};

export const errorInChunk: Script = function* (call) {
  yield* spoken(answerTo(call), call.options, 0, call.options.after);
  yield { kind: 'error', shape: 'in-chunk', error: errorOf(call) };
  yield* ending(call, call.options.done === 1);
};

// Faults before a stream has begun.

export const status: Script = function* (call) {
  const { options, format } = call;
  const error = errorOf(call, 'overloaded');
  if (options.first > 0) yield { kind: 'wait', ms: options.first };
  yield {
    kind: 'reply',
    reply: {
      status: error.status,
      ...errorPage(options.body, error, () => format.errorBody(error, call.requestId)),
      // Computed after the wait, because dates count from when they are sent.
      headers: retryHeaders(options, format, Date.now()),
    },
  };
};

export const jsonErrorAs200: Script = function* (call) {
  const body = call.format.errorBody(errorOf(call), call.requestId);
  yield { kind: 'reply', reply: { status: 200, contentType: 'application/json', body } };
};

export const htmlAs200: Script = function* () {
  yield { kind: 'reply', reply: { status: 200, ...htmlPage('Simulated login page') } };
};

export const emptyAs200: Script = function* (call) {
  const contentType = call.asked.stream ? 'text/event-stream' : 'application/json';
  yield { kind: 'reply', reply: { status: 200, contentType, body: '' } };
};

export const resetBeforeHeaders: Script = function* (call) {
  if (call.options.first > 0) yield { kind: 'wait', ms: call.options.first };
  yield { kind: 'cut', how: 'reset' };
};

export const silent: Script = function* () {
  yield { kind: 'silence' };
};

export const slowHeaders: Script = function* (call) {
  yield { kind: 'wait', ms: call.options.headers };
  yield* healthy(call);
};

function errorOf(
  { asked, options, format }: Call,
  byDefault: ErrorName = format.streamError,
): ProviderError {
  const { code, echo } = options;
  const name = options.error === 'usual' && code === 0 ? byDefault : options.error;
  const error = format.error(name, code);
  return echo === 1 ? { ...error, message: `${error.message} ${asked.text}` } : error;
}

function* ending(call: Call, terminated: boolean): Generator<Step> {
  if (terminated) yield* said([{ type: 'done' }]);
  if (call.options.linger > 0) yield { kind: 'wait', ms: call.options.linger };
  yield { kind: 'end' };
}

function errorPage(
  kind: 'json' | 'html' | 'empty',
  error: ProviderError,
  json: () => string,
): { contentType: string; body: string } {
  if (kind === 'html') return htmlPage(`${error.status} ${error.message}`);
  return { contentType: 'application/json', body: kind === 'json' ? json() : '' };
}

function htmlPage(title: string): { contentType: string; body: string } {
  const body = `<!doctype html><html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`;
  return { contentType: 'text/html; charset=utf-8', body };
}
