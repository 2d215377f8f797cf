import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { healthy } from './answer.ts';
import type { Behaviour } from './catalogue.ts';
import { healedOptions } from './catalogue.ts';
import type { Clock } from './clock.ts';
import { exactTime } from './clock.ts';
import type { ProviderError } from './errors.ts';
import { isProviderError } from './errors.ts';
import { Exchange } from './exchange.ts';
import { formatAt, formatOf } from './formats.ts';
import { idOf, OpenAnswers, readOrder } from './chaos.ts';
import { parseModelName } from './model-name.ts';
import { playStream, playWhole } from './player.ts';
import type { OpenRequest } from './request-log.ts';
import { redactedHeaders } from './request-log.ts';
import { isReusable, playBursts, replyLater, ReusableAnswers } from './reusable.ts';
import type { Asked, Call, Script, WireFormat } from './steps.ts';
import type { ViewParts } from './views.ts';
import { JSON_TYPE, sendJson, view } from './views.ts';

export interface ServiceParts extends ViewParts {
  readonly clock: Clock;
  readonly socketNumber: (socket: Socket) => number;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** One incoming request; its body is undefined if it was too large, or not JSON. */
interface Received {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly arrivedAt: number;
  readonly path: string;
  readonly rawBody: string | undefined;
  readonly body: unknown;
}

/** Answers requests: the provider APIs, the list of models, and the request log over HTTP. */
export class Service {
  readonly #parts: ServiceParts;
  readonly #reusable = new ReusableAnswers();
  readonly #open = new OpenAnswers();

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  receive(request: IncomingMessage, response: ServerResponse): void {
    const arrivedAt = exactTime();
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    });
    request.once('end', () => {
      const [only] = chunks;
      const body = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
      const rawBody = length > MAX_BODY_BYTES ? undefined : body.toString();
      this.#route(request, response, arrivedAt, rawBody);
    });
    // If a client leaves in the middle of its request, nothing is logged and nothing can be answered.
    request.once('error', () => undefined);
  }

  #route(
    request: IncomingMessage,
    response: ServerResponse,
    arrivedAt: number,
    rawBody: string | undefined,
  ): void {
    const { method = 'GET', url = '/' } = request;
    const path = url.split('?', 1)[0] ?? url;
    if (path === '/__chaos' && method === 'POST') {
      this.#disturb(request, response, rawBody);
      return;
    }
    if (path.startsWith('/__') || method !== 'POST') {
      view(`${method} ${path}`, request, response, this.#parts);
      return;
    }
    const isForm = request.headers['content-type']?.startsWith('multipart/form-data') === true;
    const body = rawBody === undefined ? undefined : isForm ? formIn(rawBody) : parseJson(rawBody);
    const received: Received = { request, response, arrivedAt, path, rawBody, body };
    const known = formatAt(path);
    const format = known ?? formatOf(request.headers);
    const exchange = this.#begin(received, format);
    const refusal = known === undefined ? unknownUrl(received, format) : undefined;
    const refused = refusal ?? this.#refusal(received, format);
    if (refused !== undefined) return refuse(exchange, format, refused);
    this.#answer(received, exchange, format);
  }

  /** JSON only: a page of another site would have to ask first whether it may send that. */
  #disturb(request: IncomingMessage, response: ServerResponse, rawBody = ''): void {
    const { name } = this.#parts;
    const isJson = /^application\/json\b/.test(request.headers['content-type'] ?? '');
    const order = isJson ? readOrder(parseJson(rawBody)) : undefined;
    if (order === undefined) {
      const message = 'Expected {"action":"cut"|"stall","request"?:"…"} as application/json.';
      const error = { message, type: 'invalid_request_error', param: null, code: null };
      sendJson(response, 400, JSON.stringify({ error }), name);
      return;
    }
    const hit = this.#open.disturb(order.how, order.request);
    const answers = hit.map((entry) => ({
      number: entry.number,
      model: entry.model,
      request: idOf(entry),
    }));
    sendJson(response, 200, JSON.stringify({ provider: name, answers }), name);
  }

  #refusal({ request, rawBody, body }: Received, format: WireFormat): ProviderError | undefined {
    const { apiKey } = this.#parts;
    if (apiKey !== undefined && format.keyHeader(request.headers) !== apiKey) {
      return format.error('invalid_api_key');
    }
    if (rawBody === undefined) return format.error('request_too_large');
    if (body !== undefined) return undefined;
    const message = 'We could not parse the JSON body of your request.';
    return { ...format.error('invalid_request'), message };
  }

  #answer(received: Received, exchange: Exchange, format: WireFormat): void {
    const { headers } = received.request;
    const asked = format.read(received.body, headers, received.path);
    if (isProviderError(asked)) return refuse(exchange, format, asked);
    const model = parseModelName(asked.model);
    if (model.kind === 'unknown') {
      const error = { ...format.error('model_not_found'), message: model.message };
      return refuse(exchange, format, error);
    }
    const { behaviour } = model;
    const healed = behaviour.fault && !this.#strikes(asked, model.options);
    const options = healed ? healedOptions(behaviour, model.options) : model.options;
    const { rawBody = '' } = received;
    const call: Call = {
      asked,
      options,
      rawBody,
      body: received.body,
      headers,
      format,
      requestId: exchange.requestId,
    };
    this.#play(call, healed ? healthy : behaviour.script, behaviour, exchange);
  }

  #strikes(asked: Asked, options: Call['options']): boolean {
    return this.#parts.faults.strikes(asked.model, asked.user, options, Date.now());
  }

  #play(call: Call, script: Script, behaviour: Behaviour, exchange: Exchange): void {
    const { clock } = this.#parts;
    const id = call.format.newId(exchange.entry.number);
    const second = Math.floor(exchange.entry.time / 1000);
    if (behaviour.reusable && isReusable(call)) {
      const bursts = this.#reusable.burstsFor(call, script, second);
      const [whole] = bursts;
      if (call.asked.stream) playBursts(bursts, id, exchange, clock);
      else if (whole !== undefined) replyLater(whole, id, exchange, clock);
      return;
    }
    const encoder = call.format.encoder(call, { id: `"${id}"`, created: String(second) });
    const play = call.asked.stream ? playStream : playWhole;
    play(script(call), call, encoder, exchange, clock).catch((error: unknown) => {
      // A bug of the simulator must not look like one of the simulated faults.
      console.error('simulated provider: a script failed', error);
      exchange.response.destroy();
    });
  }

  #begin({ request, response, arrivedAt, ...received }: Received, format: WireFormat): Exchange {
    const { log, socketNumber } = this.#parts;
    const number = log.nextNumber();
    const entry: OpenRequest = {
      number,
      time: Date.now(),
      arrivedAt,
      method: request.method ?? '',
      path: received.path,
      model: format.modelIn?.(received.path) ?? modelOf(received.body),
      headers: redactedHeaders(request.headers),
      body: received.body,
      rawBody: received.rawBody ?? '',
      socket: socketNumber(request.socket),
      state: 'open',
      status: undefined,
      tokens: 0,
      firstTokenAt: undefined,
      endedAt: undefined,
      closedAt: undefined,
    };
    const exchange = new Exchange(response, entry, log, format.requestIdHeader, {
      'x-simulated-provider': this.#parts.name,
    });
    log.add(entry);
    this.#open.add(exchange);
    return exchange;
  }
}

function unknownUrl({ request }: Received, format: WireFormat): ProviderError {
  const message = `Unknown request URL: ${request.method} ${request.url}.`;
  const error = format.error('model_not_found');
  return { ...error, code: error.code && 'unknown_url', param: null, message };
}

function refuse(exchange: Exchange, format: WireFormat, error: ProviderError): void {
  const body = format.errorBody(error, exchange.requestId);
  exchange.reply({ status: error.status, contentType: JSON_TYPE, body });
}

function modelOf(body: unknown): string {
  if (typeof body !== 'object' || body === null || !('model' in body)) return '';
  return typeof body.model === 'string' ? body.model : '';
}

/** The fields of a form, as texts; bytes of files are damaged. */
const formIn = (text: string): object =>
  Object.fromEntries(
    [...text.matchAll(/name="(\w+)"[^]*?\r\n\r\n([^]*?)\r\n--/g)].map(([, name, value]) => [
      name,
      value,
    ]),
  );

/** undefined if the text is not JSON; it is no JSON value itself. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
