import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';

/** The content of a provider's error, wherever in its answer it is. */
export type Reason = {
  /** OpenAI's four members, and all others of the provider's error object. */
  error: OpenAiError & Record<string, unknown>;
  /** The provider's type, if it sent one. */
  type: string | undefined;
  /** Every code in it, the most exact ones first: for the table of dialects. */
  codes: readonly string[];
  /** Every text in it that explains: for the table of dialects. */
  said: string;
  /** The object that was read, for members that only one provider sends. */
  told: Json;
  /** Anthropic's request id, beside the error. */
  requestId?: string;
};

type Json = Readonly<Record<string, unknown>>;

/** Levels of nested errors that are examined: an aggregator quotes its provider's gateway. */
const maxDepth = 4;
/** Characters of a text that is not JSON: a longer text is a page, not a reason. */
const maxTextChars = 300;
/** Mistakes of one request that are listed. */
const maxMistakes = 5;

/**
 * The reason in the body of an error response: JSON in any of the forms below, the title of a web page, or
 * plain text (`isText`); undefined if there is none.
 */
export function reasonInBody(text: string): (Reason & { isText: boolean }) | undefined {
  const body = parse(text);
  if (body !== undefined) {
    const reason = findReason(body);
    return reason && { ...reason, isText: false };
  }
  const words = /^\s*</.test(text) ? titleOf(text) : text;
  const message = words.replaceAll(/\s+/g, ' ').trim().slice(0, maxTextChars);
  return message === '' ? undefined : { ...toReason({ message }), isText: true };
}

/**
 * The reason in a JSON value that is known to be an error: `{error:{…}}`, `{error:"…"}`, `{errors:[…]}`,
 * `{detail:"…"}`, FastAPI's `{detail:[{loc,msg}]}`, `{message}`, `{Message}`, MiniMax's `base_resp`, and
 * Google's array around any of them; also the inner object itself. Undefined if there is none.
 */
export function findReason(value: unknown, depth = 0): Reason | undefined {
  if (depth > maxDepth) return undefined;
  if (typeof value === 'string') return value.trim() === '' ? undefined : readText(value, depth);
  if (Array.isArray(value)) {
    return isListOfMistakes(value) ? readMistakes(value) : first(value, depth);
  }
  if (!isJsonObject(value)) return undefined;
  const inner = value['error'] ?? first(value['errors'], depth) ?? value['detail'];
  const found = isReason(inner) ? inner : findReason(inner, depth + 1);
  if (found) return withOuter(found, value);
  return readObject(value, depth);
}

const isReason = (value: unknown): value is Reason => isJsonObject(value) && 'said' in value;

function first(value: unknown, depth: number): Reason | undefined {
  const items: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
  for (const item of items.slice(0, maxMistakes)) {
    const found = findReason(item, depth + 1);
    if (found) return found;
  }
  return undefined;
}

/** Whether an object that is no answer contains a reason in a form other than `error`. */
export const saysWhy = (body: Json): boolean =>
  ['detail', 'message', 'Message', 'msg', 'error_msg', 'errors', 'base_resp'].some((name) =>
    isSomething(body[name]),
  );

/** An object that is the error itself. */
function readObject(told: Json, depth: number): Reason | undefined {
  const { base_resp: minimax } = told;
  if (isJsonObject(minimax) && typeof minimax['status_msg'] === 'string') {
    const code = minimax['status_code'];
    if (code === 0) return undefined;
    return toReason({ message: minimax['status_msg'], code: `minimax_${String(code)}` });
  }
  const words = messageNames.map((name) => told[name]).find(isSomething);
  if (words === undefined) return codesOf(told).length > 0 ? toReason(told) : undefined;
  const quoted = findReason(words, depth + 1);
  // An aggregator's own message only says that its provider has failed.
  const metadata = isJsonObject(told['metadata']) ? told['metadata'] : {};
  const raw = findReason(metadata['raw'], depth + 1);
  const inner = raw ?? quoted;
  if (!inner) return toReason(told);
  const message = raw && !isVague(words) ? quoted?.error.message : inner.error.message;
  const reason = toReason({ ...told, message, type: told['type'] ?? inner.type });
  return {
    ...reason,
    error: { ...reason.error, param: reason.error.param ?? inner.error.param },
    codes: [...reason.codes, ...inner.codes],
    said: `${reason.said}\n${inner.said}`,
  };
}

const messageNames = ['message', 'Message', 'msg', 'error_msg', 'error_message', 'title'] as const;

const isSomething = (value: unknown): boolean =>
  typeof value === 'string' ? value !== '' : typeof value === 'object' && value !== null;

const isVague = (words: unknown): boolean => words === 'Provider returned error';

/** A text, which may contain the JSON of another gateway's error. */
function readText(text: string, depth: number): Reason | undefined {
  const start = text.indexOf('{');
  const quoted = start >= 0 && text.length < 65_536 ? parse(text.slice(start)) : undefined;
  const inner = isJsonObject(quoted) ? findReason(quoted, depth + 1) : undefined;
  return inner && start === 0 ? inner : toReason({ message: text }, inner);
}

/** Adds members beside the error in the body; those of the innermost object take precedence. */
function withOuter(found: Reason, body: Json): Reason {
  const { code, type, request_id: requestId } = body;
  const { error } = found;
  return {
    ...found,
    ...(typeof requestId === 'string' && { requestId }),
    error: {
      ...error,
      code: error.code ?? textOf(code),
      type: found.type ?? (type === 'error' ? error.type : (textOf(type) ?? error.type)),
    },
    codes: [...found.codes, ...codesOf(body)],
  };
}

/** The form of FastAPI and Pydantic: each mistake with its path in the request. */
const isListOfMistakes = (list: readonly unknown[]): list is Json[] =>
  list.length > 0 && list.every((item) => isJsonObject(item) && typeof item['msg'] === 'string');

function readMistakes(list: readonly Json[]): Reason {
  const mistakes = list.slice(0, maxMistakes).map(({ loc, msg }) => {
    const place = (Array.isArray(loc) ? loc : []).filter((part) => part !== 'body').join('.');
    return { place, text: place === '' ? String(msg) : `${place}: ${String(msg)}` };
  });
  const [one] = mistakes;
  return toReason({
    message: mistakes.map(({ text }) => text).join('; '),
    type: 'invalid_request_error',
    param: one?.place === '' ? null : one?.place,
  });
}

function toReason(told: Json, inner?: Reason): Reason {
  const type = textOf(told['type']) ?? undefined;
  const message = textOf(told['message']) ?? messageOf(told) ?? 'The provider reported an error.';
  return {
    error: {
      ...told,
      message,
      type: type ?? 'upstream_error',
      param: textOf(told['param']),
      code: textOf(told['code']),
    },
    type,
    codes: [...codesOf(told), ...(inner?.codes ?? [])],
    said: [message, inner?.said, ...quotasOf(told)].filter(Boolean).join('\n'),
    told,
  };
}

const messageOf = (told: Json): string | undefined =>
  messageNames.map((name) => told[name]).find((one) => typeof one === 'string');

/**
 * Collects codes: Google's `status` and `reason`s, Azure's inner error, AWS' `__type`, Anthropic's details,
 * and the usual members.
 */
function codesOf(told: Json): string[] {
  const { details, innererror } = told;
  const inDetails = (Array.isArray(details) ? details : [details]).flatMap((one: unknown) =>
    isJsonObject(one) ? [one['reason'], one['error_code']] : [],
  );
  const inner = isJsonObject(innererror) ? innererror['code'] : undefined;
  const aws = textOf(told['__type'])?.split('#').at(-1);
  const all = [...inDetails, inner, told['code'], told['error_code'], aws];
  return [...all, told['type'], told['status']].flatMap((one) => textOf(one) ?? []);
}

/** The names of the Google quotas that were exceeded; they contain the period. */
const quotasOf = ({ details }: Json): string[] =>
  (Array.isArray(details) ? (details as unknown[]) : [])
    .flatMap((one) => (isJsonObject(one) ? (one['violations'] ?? []) : []))
    .flatMap((one) => (isJsonObject(one) ? (textOf(one['quotaId']) ?? []) : []));

const textOf = (value: unknown): string | null =>
  (typeof value === 'string' && value !== '') || typeof value === 'number' ? String(value) : null;

/** The title of a web page. */
function titleOf(page: string): string {
  const found = /<(title|h1)[^>]{0,200}>([^<]{1,500})</i.exec(page.slice(0, 16_384));
  return found?.[2] ?? '';
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
