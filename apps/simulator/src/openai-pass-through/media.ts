import { openAiError, type ProviderError } from '../errors.ts';
import { openAiChat } from '../openai-chat/format.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord } from '../request-json.ts';
import type { AnswerEvent, Asked, Call, Encoder, Frame, Usage, WireFormat } from '../steps.ts';

// OpenAI's images, speech and transcripts, streamed or whole, with all behaviours: each token of an answer is a partial image, a piece of
// sound or a word.

interface MediaApi {
  readonly path: string;
  readonly prefix: string;
  /** The member of a request with its text. */
  readonly prompt: string;
  streams(body: JsonObject): boolean;
  /** The type of a streamed answer that is not events. */
  contentType?(body: JsonObject): string | undefined;
  encoder(body: JsonObject, call: Call): Encoder;
}

function formatOf(api: MediaApi): WireFormat {
  return {
    ...openAiChat,
    serves: (asked) => asked === api.path,
    maxChoices: 1,
    isReusable: false,
    newId: (number) => `${api.prefix}-sim-${String(number).padStart(9, '0')}`,
    read(body): Asked | ProviderError {
      const invalid = (message: string, param: string): ProviderError => ({
        ...openAiError('invalid_request'),
        message,
        param,
      });
      if (!isRecord(body)) return invalid('The body must be a JSON object or a form.', 'body');
      const { model, user, [api.prompt]: prompt } = body;
      if (typeof model !== 'string') return invalid('you must provide a model parameter', 'model');
      if (typeof prompt !== 'string') {
        return invalid(`Missing required parameter: '${api.prompt}'.`, api.prompt);
      }
      return {
        model,
        stream: api.streams(body),
        includeUsage: false,
        n: 1,
        maxTokens: undefined,
        logprobs: false,
        tools: [],
        hasToolResult: false,
        output: { kind: 'text' },
        text: prompt,
        trailingAssistant: undefined,
        promptTokens: estimatedTokens(prompt, 0),
        user: typeof user === 'string' ? user : '',
      };
    },
    encoder: (call) => {
      const body = call.body as JsonObject;
      const contentType = api.contentType?.(body);
      return { ...api.encoder(body, call), ...(contentType !== undefined && { contentType }) };
    },
  };
}

const isTrue = (value: unknown): boolean => value === true || value === 'true';

const frame = (event: JsonObject, isNamed = false): Frame => ({
  ...(isNamed && { event: String(event['type']) }),
  data: JSON.stringify(event),
});

const errorFrames = (_shape: unknown, error: ProviderError): Frame[] => [
  {
    event: 'error',
    data: JSON.stringify({ type: 'error', error: { ...error, status: undefined } }),
  },
];

const usageOf = ({ asked, options }: Call, usage: Usage | undefined): JsonObject => {
  if (options.usage === 'never') return {};
  const { promptTokens: input } = asked;
  const output = usage?.completion ?? 0;
  return {
    usage: { input_tokens: input, output_tokens: output, total_tokens: input + output },
  };
};

/** A picture of one pixel. */
const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

interface ImagesApi {
  readonly path: string;
  readonly prompt: string;
  /** The beginning of the names of its events; absent: it has no streams. */
  readonly event?: string;
}

const imagesAt = ({ path, prompt, event: name }: ImagesApi): WireFormat =>
  formatOf({
    path,
    prefix: 'img',
    prompt,
    streams: ({ stream }) => name !== undefined && isTrue(stream),
    encoder({ partial_images: asked }, call) {
      // A text in a form.
      const most = Number(asked ?? 0);
      let partial = 0;
      return {
        frames(event) {
          if (event.type === 'text' && partial < most) {
            partial += 1;
            const more = { b64_json: PICTURE, partial_image_index: partial - 1 };
            return [frame({ type: `${name}.partial_image`, ...more }, true)];
          }
          if (event.type !== 'finish') return [];
          const more = { b64_json: PICTURE, created_at: 1, ...usageOf(call, event.usage) };
          return [frame({ type: `${name}.completed`, ...more }, true)];
        },
        error: errorFrames,
        whole: (events) =>
          JSON.stringify({
            created: 1,
            data: [{ b64_json: PICTURE }],
            ...usageOf(call, usageIn(events)),
          }),
      };
    },
  });

const usageIn = (events: readonly AnswerEvent[]): Usage | undefined =>
  events.flatMap((event) => (event.type === 'finish' ? (event.usage ?? []) : []))[0];

/** Samples of one token, at 8 kHz: a tone that rises. */
const SAMPLES = 800;

/** A WAV file of unsigned bytes, whose header says that its length is not known. */
const WAV_HEADER = Buffer.from(
  '52494646ffffffff57415645666d74201000000001000100401f0000401f00000100080064617461ffffffff',
  'hex',
);

const sound = (token: number): Buffer =>
  Buffer.concat([
    ...(token === 0 ? [WAV_HEADER] : []),
    Buffer.from(
      Array.from({ length: SAMPLES }, (_, at) =>
        Math.round(128 + 60 * Math.sin((at * (220 + 20 * token) * 2 * Math.PI) / 8000)),
      ),
    ),
  ]);

/** The sound of an answer with so many tokens. */
export const expectedSpeech = (tokens: number): Buffer =>
  Buffer.concat(Array.from({ length: tokens }, (_, token) => sound(token)));

const speech = formatOf({
  path: '/v1/audio/speech',
  prefix: 'speech',
  prompt: 'input',
  // Also the bytes come as they are made.
  streams: () => true,
  contentType: ({ stream_format: format }) => (format === 'sse' ? undefined : 'audio/wav'),
  encoder({ stream_format: format }, call) {
    let token = 0;
    return {
      frames(event) {
        if (event.type === 'text') {
          const bytes = sound(token);
          token += 1;
          if (format !== 'sse') return [{ data: bytes.toString('latin1'), isRaw: true }];
          return [frame({ type: 'speech.audio.delta', audio: bytes.toString('base64') })];
        }
        if (event.type !== 'finish' || format !== 'sse') return [];
        return [frame({ type: 'speech.audio.done', ...usageOf(call, event.usage) })];
      },
      error: (shape, error) => (format === 'sse' ? errorFrames(shape, error) : []),
      whole: () => '',
    };
  },
});

const textsAt = (path: string, mayStream: boolean): WireFormat =>
  formatOf({
    path,
    prefix: 'transcript',
    prompt: 'file',
    streams: ({ stream }) => mayStream && isTrue(stream),
    encoder({ response_format: format }, call) {
      let text = '';
      const usage = (used: Usage | undefined) => {
        const { usage: counted } = usageOf(call, used);
        return counted === undefined ? {} : { usage: { type: 'tokens', ...Object(counted) } };
      };
      const textIn = (events: readonly AnswerEvent[]): string =>
        events.map((event) => (event.type === 'text' ? event.text : '')).join('');
      return {
        frames(event) {
          if (event.type === 'text') {
            text += event.text;
            return [frame({ type: 'transcript.text.delta', delta: event.text })];
          }
          if (event.type !== 'finish') return [];
          return [frame({ type: 'transcript.text.done', text, ...usage(event.usage) })];
        },
        error: errorFrames,
        whole: (events) =>
          format === 'text'
            ? textIn(events)
            : JSON.stringify({ text: textIn(events), ...usage(usageIn(events)) }),
      };
    },
  });

export const mediaFormats: readonly WireFormat[] = [
  imagesAt({ path: '/v1/images/generations', prompt: 'prompt', event: 'image_generation' }),
  imagesAt({ path: '/v1/images/edits', prompt: 'prompt', event: 'image_edit' }),
  imagesAt({ path: '/v1/images/variations', prompt: 'image' }),
  speech,
  textsAt('/v1/audio/transcriptions', true),
  textsAt('/v1/audio/translations', false),
];
