import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { healthy } from './answer.ts';
import type { Behaviour } from './catalogue.ts';
import { BEHAVIOURS, healedOptions } from './catalogue.ts';
import type { Clock } from './clock.ts';
import type { ProviderError } from './errors.ts';
import { isProviderError, providerError } from './errors.ts';
import { Exchange } from './exchange.ts';
import type { FaultMemory } from './fault-memory.ts';
import { parseModelName } from './model-name.ts';
import { openAiChat } from './openai-chat/format.ts';
import { playStream, playWhole } from './player.ts';
import type { OpenRequest, RequestLog } from './request-log.ts';
import { redactedHeaders } from './request-log.ts';
import { isReusable, playBursts, replyLater, ReusableAnswers } from './reusable.ts';
import type { Asked, Call, Script, WireFormat } from './steps.ts';

export interface ServiceParts {
  readonly name: string;
  readonly apiKey: string | undefined;
  readonly log: RequestLog;
  readonly clock: Clock;
  readonly faults: FaultMemory;
  readonly socketNumber: (socket: Socket) => number;
}

/** A second provider API is a second entry. */
const FORMATS: readonly WireFormat[] = [openAiChat];
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const JSON_TYPE = 'application/json; charset=utf-8';

/** Answers requests: the provider APIs, the list of models, and the request log over HTTP. */
export class Service {
  readonly #parts: ServiceParts;
  readonly #reusable = new ReusableAnswers();

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  receive(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    });
    request.once('end', () => {
      const [only] = chunks;
      const body = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
      this.#route(request, response, length > MAX_BODY_BYTES ? undefined : body.toString());
    });
    // A client that leaves in mid-request: nothing has been logged yet, and there is nobody to answer.
    request.once('error', () => undefined);
  }

  #route(request: IncomingMessage, response: ServerResponse, rawBody: string | undefined): void {
    const { method = 'GET', url = '/' } = request;
    const path = url.split('?', 1)[0] ?? url;
    if (path.startsWith('/__') || method !== 'POST') {
      this.#view(`${method} ${path}`, request, response);
      return;
    }
    const format = FORMATS.find((known) => known.path === path);
    const body = rawBody === undefined ? undefined : parseJson(rawBody);
    const exchange = this.#open(request, response, path, body, rawBody ?? '');
    const errors = format ?? openAiChat;
    const refusal = this.#refusal(request, format, rawBody, body);
    if (refusal !== undefined) return refuse(exchange, errors, refusal);
    this.#answer(request, exchange, errors, body, rawBody ?? '');
  }

  #refusal(
    request: IncomingMessage,
    format: WireFormat | undefined,
    rawBody: string | undefined,
    body: unknown,
  ): ProviderError | undefined {
    const { apiKey } = this.#parts;
    if (format === undefined) {
      const message = `Unknown request URL: ${request.method} ${request.url}.`;
      return { ...providerError('model_not_found'), code: 'unknown_url', param: null, message };
    }
    if (apiKey !== undefined && format.keyHeader(request.headers) !== apiKey) {
      return providerError('invalid_api_key');
    }
    if (rawBody === undefined) return providerError('request_too_large');
    if (body !== undefined) return undefined;
    return {
      ...providerError('invalid_request'),
      message: 'We could not parse the JSON body of your request.',
    };
  }

  #answer(
    request: IncomingMessage,
    exchange: Exchange,
    format: WireFormat,
    body: unknown,
    rawBody: string,
  ): void {
    const asked = format.read(body);
    if (isProviderError(asked)) return refuse(exchange, format, asked);
    const model = parseModelName(asked.model);
    if (model.kind === 'unknown') {
      const error = { ...providerError('model_not_found'), message: model.message };
      return refuse(exchange, format, error);
    }
    const { behaviour } = model;
    const healed = behaviour.fault && !this.#strikes(asked, model.options);
    const options = healed ? healedOptions(behaviour, model.options) : model.options;
    const call: Call = { asked, options, rawBody, headers: request.headers, format };
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
      // A fault of the simulator's own must not look like one of the simulated ones.
      console.error('simulated provider: a script failed', error);
      exchange.response.destroy();
    });
  }

  #open(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    body: unknown,
    rawBody: string,
  ): Exchange {
    const { log, socketNumber } = this.#parts;
    const number = log.nextNumber();
    const entry: OpenRequest = {
      number,
      time: Date.now(),
      method: request.method ?? '',
      path,
      model: modelOf(body),
      headers: redactedHeaders(request.headers),
      body,
      rawBody,
      socket: socketNumber(request.socket),
      state: 'open',
      status: undefined,
      tokens: 0,
      firstTokenAt: undefined,
      endedAt: undefined,
    };
    const exchange = new Exchange(response, entry, log, {
      'x-simulated-provider': this.#parts.name,
      'x-request-id': `req_sim_${number}`,
    });
    log.add(entry);
    return exchange;
  }

  /** Everything that is not a model's answer. */
  #view(what: string, request: IncomingMessage, response: ServerResponse): void {
    const { apiKey, log, faults } = this.#parts;
    const authorised = apiKey === undefined || openAiChat.keyHeader(request.headers) === apiKey;
    switch (what) {
      case 'GET /v1/models':
        if (authorised) return this.#json(response, 200, modelList());
        return this.#json(
          response,
          401,
          JSON.parse(openAiChat.errorBody(providerError('invalid_api_key'))),
        );
      case 'GET /__requests':
        return this.#json(response, 200, { provider: this.#parts.name, requests: log.requests });
      case 'DELETE /__requests':
        log.clear();
        return this.#json(response, 200, { deleted: true });
      case 'DELETE /__faults':
        faults.forget();
        return this.#json(response, 200, { deleted: true });
      case 'GET /':
        return this.#json(response, 200, { simulated: true, provider: this.#parts.name });
      default: {
        const message = `Unknown request URL: ${what}.`;
        const error = { message, type: 'invalid_request_error', param: null, code: 'unknown_url' };
        return this.#json(response, 404, { error });
      }
    }
  }

  #json(response: ServerResponse, status: number, value: unknown): void {
    const body = JSON.stringify(value);
    response.writeHead(status, {
      'content-type': JSON_TYPE,
      'content-length': String(Buffer.byteLength(body)),
      'x-simulated-provider': this.#parts.name,
    });
    response.end(body);
  }
}

function refuse(exchange: Exchange, format: WireFormat, error: ProviderError): void {
  exchange.reply({ status: error.status, contentType: JSON_TYPE, body: format.errorBody(error) });
}

function modelOf(body: unknown): string {
  if (typeof body !== 'object' || body === null || !('model' in body)) return '';
  return typeof body.model === 'string' ? body.model : '';
}

function modelList(): object {
  const data = Object.entries(BEHAVIOURS).map(([id, { help }]) => ({
    id,
    object: 'model',
    created: 0,
    owned_by: 'simulated by Millrace',
    description: `Simulated: ${help}.`,
  }));
  return { object: 'list', data };
}

/** undefined is no JSON value, so it can say that there was none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
