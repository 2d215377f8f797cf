import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { dialects } from './dialects.ts';
import { faultInAnswer, readErrorBody } from './read-error.ts';

/* Bodies in the shapes that providers send, in our own words where a word does not matter. */

/** Where the status says it, and an error inside an answer has none. */
const byStatus = 'by its status, ';

type Said = [by: string, status: number, body: unknown];

const google = (code: number, status: string, message: string, details: object[] = []) => ({
  error: { code, status, message, details },
});
const reasonOf = (reason: string) => ({ '@type': 'google.rpc.ErrorInfo', reason, domain: 'x' });
const openai = (message: string, code: string | null = null, type = 'invalid_request_error') => ({
  error: { message, type, param: null, code },
});

const tooLong: Said[] = [
  ['OpenAI', 400, openai('Too many.', 'context_length_exceeded')],
  ['Azure', 400, { error: { code: 'context_length_exceeded', message: 'No.' } }],
  [
    'DeepSeek',
    400,
    openai(
      "This model's maximum context length is 10 tokens. However, you requested 12.",
      'invalid_request_error',
    ),
  ],
  [
    'OpenRouter',
    400,
    { error: { message: "This endpoint's maximum context length is 9 tokens.", code: 400 } },
  ],
  [
    'OpenRouter, with its provider’s words',
    400,
    {
      error: {
        message: 'Provider returned error',
        code: 400,
        metadata: { raw: '{"error":{"message":"prompt is too long: 9 tokens > 8 maximum"}}' },
      },
    },
  ],
  ['Ollama', 400, openai('prompt too long; exceeded max context length by 7 tokens')],
  [
    'llama.cpp',
    400,
    { error: { code: 400, message: 'Too large.', type: 'exceed_context_size_error', n_ctx: 5 } },
  ],
  [
    'Bedrock',
    400,
    { message: 'The model returned the following errors: Input Tokens Exceeded: too many.' },
  ],
  ['Bedrock, Claude', 400, { message: 'Input is too long for requested model.' }],
  [
    'Gemini',
    400,
    [
      google(
        400,
        'INVALID_ARGUMENT',
        'The input token count (9) exceeds the maximum number of tokens allowed (8).',
      ),
    ],
  ],
  ['Vertex', 400, google(400, 'INVALID_ARGUMENT', 'The input token count is 9 but only up to 8.')],
  ['Cohere', 400, { id: 'x', message: 'too many tokens: size limit exceeded by 3 tokens.' }],
  ['Groq', 400, openai('Please reduce the length of the messages or completion.')],
  [
    `${byStatus}Groq, more than the account may use in a minute`,
    413,
    openai(
      'Request too large for model `m` in organization `org_01` on tokens per minute (TPM): Limit 6.',
      'rate_limit_exceeded',
      'tokens',
    ),
  ],
  [
    'xAI',
    400,
    { code: 'x', error: "This model's maximum prompt length is 8 but it has 9 tokens." },
  ],
  [
    'Mistral',
    400,
    {
      object: 'error',
      message: 'Prompt contains 9 tokens, too large for model with 8 maximum context length',
      type: 'invalid_request_prompt',
      code: '3051',
    },
  ],
  [
    'vLLM',
    400,
    { object: 'error', message: 'The prompt is longer than the maximum model length of 8.' },
  ],
  [
    'SGLang',
    400,
    { message: "The input (9 tokens) is longer than the model's context length (8)." },
  ],
  [
    'Together',
    422,
    openai('Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8. Given: 9'),
  ],
  ['Fireworks', 400, openai('The prompt is too long: 9, model maximum context length: 8')],
  ['Perplexity', 400, { error: { message: 'The input length 9 exceeds the limit.', code: 400 } }],
  ['Moonshot', 400, openai('Invalid request: Your request exceeded model token limit: 8')],
  ['MiniMax', 200, { base_resp: { status_code: 1039, status_msg: 'token limit' } }],
  ['FastAPI', 400, { detail: 'Context window exceeded: the prompt is too long' }],
];

const badKey: Said[] = [
  ['OpenAI', 401, openai('Incorrect API key provided: sk-…', 'invalid_api_key')],
  ['OpenAI with a 400', 400, openai('Incorrect API key provided.')],
  ['Azure', 401, { error: { code: '401', message: 'Access denied: invalid subscription key.' } }],
  ['Gemini', 400, google(400, 'INVALID_ARGUMENT', 'No.', [reasonOf('API_KEY_INVALID')])],
  ['Vertex', 403, google(403, 'PERMISSION_DENIED', 'Permission denied on resource project x1.')],
  ['xAI', 400, { code: 'invalid-argument', error: 'Incorrect API key provided.' }],
  ['Cohere', 401, { message: 'invalid api token' }],
  ['Bedrock', 403, { message: 'The security token included in the request is invalid.' }],
  [
    'DeepSeek',
    401,
    openai('Authentication Fails.', 'invalid_request_error', 'authentication_error'),
  ],
  ['Mistral', 401, { detail: 'Unauthorized' }],
  ['Ollama', 401, openai('Unauthorized', null, 'api_error')],
  ['OpenRouter', 401, { error: { message: 'No auth credentials found', code: 401 } }],
  ['a country', 403, openai('No.', 'unsupported_country_region_territory')],
];

const noModel: Said[] = [
  ['OpenAI', 404, openai('The model `m` does not exist.', 'model_not_found')],
  ['OpenAI with a 400', 400, openai('No.', 'model_not_found')],
  ['OpenAI, of a name with a word', 404, openai('No model `a-prefill`.', 'model_not_found')],
  ['Azure', 404, { error: { code: 'DeploymentNotFound', message: 'No such deployment.' } }],
  ['OpenRouter', 400, { error: { message: 'a/b is not a valid model ID', code: 400 } }],
  ['DeepSeek', 400, openai('Model Not Exist', 'invalid_request_error')],
  ['Bedrock', 400, { message: 'The provided model identifier is invalid.' }],
  [
    'Mistral',
    400,
    { object: 'error', message: 'Invalid model: m', type: 'invalid_model', code: '1' },
  ],
  [
    'Perplexity',
    400,
    { error: { message: "Invalid model 'm'.", type: 'invalid_model', code: 400 } },
  ],
  ['Gemini', 404, google(404, 'NOT_FOUND', 'models/m is not found for API version v1beta')],
  ['Ollama', 404, openai('model "m" not found, try pulling it first', null, 'api_error')],
  [
    'vLLM',
    404,
    { object: 'error', message: 'The model `m` does not exist.', type: 'NotFoundError' },
  ],
  ['Groq', 400, openai('The model `m` has been decommissioned.', 'model_decommissioned')],
  ['Together', 400, openai('Unable to access model m.', 'model_not_available')],
  ['xAI', 404, { code: 'x', error: 'The model m does not exist or your team has no access.' }],
];

const slowDown: Said[] = [
  ['OpenAI', 429, openai('Rate limit reached.', 'rate_limit_exceeded', 'requests')],
  ['Azure', 429, { error: { code: 'RateLimitReached', message: 'No.' } }],
  ['Gemini', 429, google(429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota.')],
  ['OpenRouter', 429, { error: { code: 429, message: 'm is temporarily rate-limited upstream' } }],
  ['Bedrock', 429, { __type: 'com.amazon#ThrottlingException', message: 'Too many requests' }],
  ['Mistral', 429, { message: 'Requests rate limit exceeded' }],
  [
    'Cohere, of a free key',
    429,
    { message: 'You are using a Trial key, which is limited to 9 API calls / minute.' },
  ],
  ['MiniMax', 200, { base_resp: { status_code: 1002, status_msg: 'rate limit' } }],
];

const noCredit: Said[] = [
  ['OpenAI', 429, openai('You exceeded your current quota.', 'insufficient_quota')],
  ['DeepSeek', 402, openai('Insufficient Balance', 'invalid_request_error', 'unknown_error')],
  ['OpenRouter', 402, { error: { message: 'Insufficient credits.', code: 402 } }],
  [
    'OpenRouter, of the key',
    403,
    { error: { message: 'Key limit exceeded (total limit).', code: 403 } },
  ],
  ['xAI', 429, { code: 'x', error: 'Your team has used all available credits.' }],
  ['Fireworks', 412, { error: { message: 'Account foo is suspended, see billing.' } }],
  ['Moonshot', 429, openai('No.', null, 'exceeded_current_quota_error')],
  [
    'Gemini, by the day',
    429,
    google(429, 'RESOURCE_EXHAUSTED', 'Quota.', [
      { violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }] },
    ]),
  ],
  ['MiniMax', 200, { base_resp: { status_code: 1008, status_msg: 'insufficient balance' } }],
];

const filtered: Said[] = [
  ['Azure', 400, { error: { code: 'content_filter', message: 'No.' } }],
  [
    'Azure, inside',
    400,
    { error: { code: null, message: 'No.', innererror: { code: 'ResponsibleAIPolicyViolation' } } },
  ],
  ['DeepSeek', 400, openai('Content Exists Risk', 'invalid_request_error')],
  ['xAI', 403, { code: 'x', error: 'Content violates usage guidelines.' }],
  [
    'OpenRouter',
    403,
    { error: { code: 403, message: 'm requires moderation. Your input was flagged for "x".' } },
  ],
  [
    'Alibaba',
    400,
    openai('Input data may contain inappropriate content.', 'data_inspection_failed'),
  ],
];

const others: [FaultCode, Said[]][] = [
  [
    'upstream_rejected',
    [
      ['DeepSeek', 400, openai('No tool output found for tool call a.', 'invalid_request_error')],
      [
        'OpenAI',
        400,
        openai("Invalid value: 'model'. Supported values are: 'a'.", 'invalid_value'),
      ],
      [
        'FastAPI',
        422,
        { detail: [{ loc: ['body', 'messages', 0], msg: 'Field required', type: 'm' }] },
      ],
      [`${byStatus}a file that the client named`, 404, openai('No such File object: file-1')],
      [
        'Gemini',
        403,
        google(403, 'PERMISSION_DENIED', 'You do not have permission to access the File x.'),
      ],
    ],
  ],
  [
    'upstream_overloaded',
    [
      [`${byStatus}OpenAI`, 503, openai('The engine is overloaded.', null, 'server_error')],
      ['Gemini', 503, google(503, 'UNAVAILABLE', 'The model is overloaded.')],
      ['Moonshot', 429, openai('Busy.', null, 'engine_overloaded_error')],
    ],
  ],
  ['upstream_server_error', [['anyone', 500, openai('Oops.', null, 'server_error')]]],
  [
    'upstream_unusable_output',
    [['Groq', 400, openai('Tool call validation failed.', 'tool_use_failed')]],
  ],
  [
    'target_unsuited',
    [
      ['llama.cpp', 500, { error: { code: 500, message: 'tools param requires --jinja flag' } }],
      [
        'OpenRouter',
        404,
        { error: { code: 404, message: 'No endpoints found that support tools' } },
      ],
      ...[
        'Requests ending with a model turn are not supported unless the last part is a result.',
        'Please ensure that multiturn requests end with a user role or a function response.',
        'Logprobs is not enabled for models/gemini-test-1',
        "'minimal' is not a supported thinking level for this model.",
        'Function call `f` in the 2. content block is missing a thought_signature.',
        "Function calling with a response mime type: 'application/json' is unsupported",
      ].map((said): Said => ['Gemini', 400, google(400, 'INVALID_ARGUMENT', said)]),
    ],
  ],
  [
    'stream_options_refused',
    [
      ['Azure', 400, openai('Unrecognized request argument supplied: stream_options')],
      ['OpenAI', 400, openai("Unknown parameter: 'stream_options'.", 'unknown_parameter')],
      [
        'Mistral',
        422,
        {
          object: 'error',
          message: {
            detail: [{ type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'No.' }],
          },
        },
      ],
    ],
  ],
];

const all: [FaultCode, Said[]][] = [
  ['context_length_exceeded', tooLong],
  ['upstream_auth_failed', badKey],
  ['upstream_model_not_found', noModel],
  ['upstream_rate_limited', slowDown],
  ['upstream_quota_exceeded', noCredit],
  ['content_filtered', filtered],
  ...others,
];
const flat = all.flatMap(([code, said]) => said.map((one) => [code, ...one] as const));

describe('the dialects of providers', () => {
  it.each(flat.filter(([, , status]) => status !== 200))(
    '%s as %s says it with status %i',
    (code, _by, status, body) => {
      expect(readErrorBody(status, JSON.stringify(body)).code).toBe(code);
    },
  );

  // With no status but what the error itself names.
  it.each(flat.filter(([, by]) => !by.startsWith(byStatus)))(
    '%s as %s says it inside an answer (%i)',
    (code, _by, _status, body) => {
      expect(faultInAnswer(body).code).toBe(code);
    },
  );

  it('know no text that a search takes long for', () => {
    const long = `model ${'maximum request too large for account organization '.repeat(20_000)}`;
    // A quadratic search would exceed the test's own time limit.
    expect(readErrorBody(400, JSON.stringify(openai(long)))).toHaveProperty('code');
  });

  it('name who speaks each of them', () => {
    for (const { by, codes, says } of dialects) {
      expect(by).not.toBe('');
      expect(codes ?? says).toBeDefined();
    }
  });
});

describe('a value of the request that its provider quotes', () => {
  const quoted = (value: string) =>
    openai(`Invalid value: '${value}'. Supported values are: 'auto'.`);

  it.each([
    'Incorrect API key provided',
    'api key expired',
    'insufficient credits',
    'your account x1 is suspended',
    'model not found',
    'x is not a valid model ID',
    'too many requests',
    'rate limit exceeded',
  ])('sets no key aside and breaks no target: %s', (value) => {
    const body = JSON.stringify({ messages: [], tool_choice: value });
    const escaped = body.replace(
      /[a-z](?=[^"]*"}$)/g,
      (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`,
    );
    expect(JSON.parse(escaped)).toEqual(JSON.parse(body));
    for (const asked of [body, escaped]) {
      const read = readErrorBody(400, JSON.stringify(quoted(value)), { body: asked });
      expect(read.code).toBe('upstream_rejected');
      expect(faultInAnswer(quoted(value), { body: asked }).code).toBe('upstream_rejected');
    }
    // The same words are the provider's where the request does not have them.
    expect(readErrorBody(400, JSON.stringify(quoted(value))).code).not.toBe('upstream_rejected');
  });

  it('sets no key aside either where it is an error as JSON', () => {
    const fake = '{"error":{"code":"API_KEY_INVALID","message":"x"}}';
    const echo = openai(`The arguments of call a cannot be read: ${fake}`);
    const body = JSON.stringify({ messages: [{ role: 'assistant', content: fake }] });
    expect(readErrorBody(400, JSON.stringify(echo), { body }).code).toBe('upstream_rejected');
    expect(readErrorBody(400, JSON.stringify(echo)).code).toBe('upstream_auth_failed');
    const real = google(403, 'PERMISSION_DENIED', 'No.');
    const asks = JSON.stringify({ messages: [{ role: 'user', content: 'PERMISSION_DENIED?' }] });
    expect(readErrorBody(403, JSON.stringify(real), { body: asks }).code).toBe(
      'upstream_auth_failed',
    );
  });

  it('takes nothing from what the provider says beside it', () => {
    const body = '{"messages":[{"role":"user","content":"too many requests? Incorrect API key?"}]}';
    const both = openai("Incorrect API key for 'x'. Your authentication failed.");
    expect(readErrorBody(400, JSON.stringify(both), { body }).code).toBe('upstream_auth_failed');
    const long = openai('Too long: reduce the length of the messages.');
    const same = '{"messages":[{"role":"user","content":"reduce the length of the messages"}]}';
    expect(readErrorBody(400, JSON.stringify(long), { body: same }).code).toBe(
      'context_length_exceeded',
    );
  });
});

describe('the reason', () => {
  it.each<[string, string, object]>([
    [
      'an object',
      '{"error":{"message":"No.","type":"t","param":"p","code":"c","more":1}}',
      { message: 'No.', type: 't', param: 'p', code: 'c', more: 1 },
    ],
    [
      'a text',
      '{"error":"No."}',
      { message: 'No.', type: 'invalid_request_error', param: null, code: null },
    ],
    ['a text with a code beside it', '{"code":"c","error":"No."}', { message: 'No.', code: 'c' }],
    ['a detail', '{"detail":"No."}', { message: 'No.', type: 'invalid_request_error' }],
    [
      'a detail that is an object',
      '{"detail":{"error":{"message":"No.","code":"c"}}}',
      { message: 'No.', code: 'c' },
    ],
    [
      'mistakes',
      '{"detail":[{"loc":["body","n"],"msg":"Too small.","type":"x"},{"loc":["body","top_p"],"msg":"No."}]}',
      { message: 'n: Too small.; top_p: No.', param: 'n' },
    ],
    ['a message', '{"message":"No.","id":"1"}', { message: 'No.' }],
    ['a message of AWS', '{"Message":"No."}', { message: 'No.' }],
    [
      'a message that holds an error',
      '{"object":"error","message":{"detail":[{"loc":["body","n"],"msg":"No."}]}}',
      { message: 'n: No.', param: 'n' },
    ],
    [
      'the JSON of another gateway',
      '{"error":{"message":"{\\"error\\":{\\"message\\":\\"No.\\"}}","code":400}}',
      { message: 'No.', code: null },
    ],
    [
      'a list',
      '[{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}]',
      { message: 'No.', code: null },
    ],
    [
      'errors',
      '{"success":false,"errors":[{"code":5007,"message":"No."}]}',
      { message: 'No.', code: '5007' },
    ],
    [
      'nothing but a code',
      '{"error":{"code":"c"}}',
      { message: 'The provider reported an error.', code: 'c' },
    ],
  ])('is found in %s', (_, text, error) => {
    expect(readErrorBody(400, text).error).toMatchObject(error);
  });

  it.each([
    [
      '<html><head><title>400 Bad\n Request</title></head><body><h1>No</h1></body></html>',
      '400 Bad Request',
    ],
    ['<h1>Not today</h1>', 'Not today'],
    ['upstream connect error', 'upstream connect error'],
  ])('of a body that is no JSON is one line of words: %j', (text, words) => {
    expect(readErrorBody(400, text)).toEqual({
      code: 'upstream_rejected',
      error: undefined,
      words,
    });
  });

  it.each(['', '  ', '<html></html>', '{}', '[]', 'null', '5', '{"error":null}'])(
    'is not made up for %j',
    (text) => {
      expect(readErrorBody(502, text)).toEqual({ code: 'upstream_server_error', error: undefined });
    },
  );

  it('is looked for in errors that are nested without an end', () => {
    const deep = `${'{"error":'.repeat(9000)}"No."${'}'.repeat(9000)}`;
    expect(readErrorBody(400, deep).code).toBe('upstream_rejected');
    const long = `${'['.repeat(9000)}${']'.repeat(9000)}`;
    expect(readErrorBody(400, `{"detail":${long}}`).code).toBe('upstream_rejected');
  });
});

describe('the time that a provider wants to be left alone', () => {
  it.each<[string, object, number | undefined]>([
    ['Gemini', google(429, 'RESOURCE_EXHAUSTED', 'x', [{ retryDelay: '48s' }]), 48_000],
    [
      'Gemini, in parts',
      google(429, 'RESOURCE_EXHAUSTED', 'x', [{ retryDelay: { seconds: 1, nanos: 5e8 } }]),
      1500,
    ],
    ['Gemini, in words', google(429, 'RESOURCE_EXHAUSTED', 'Please retry in 2.5s.'), 2500],
    [
      'OpenAI',
      openai('Rate limit reached. Please try again in 1.4s. Visit x.', 'rate_limit_exceeded'),
      1400,
    ],
    ['OpenAI, minutes', openai('Please try again in 6m0s.', 'rate_limit_exceeded'), 360_000],
    ['OpenAI, soon', openai('Please try again in 20ms.', 'rate_limit_exceeded'), 20],
    ['Azure', openai('Please retry after 20 seconds.', 'RateLimitReached'), 20_000],
    ['a member', { error: { message: 'x', code: 'rate_limit_exceeded', retry_after: 3 } }, 3000],
    [
      'OpenRouter',
      {
        error: {
          message: 'x',
          code: 429,
          metadata: { headers: { 'X-RateLimit-Reset': '1700000005000' } },
        },
      },
      5000,
    ],
    ['no provider', openai('Slow down, and try again later.', 'rate_limit_exceeded'), undefined],
  ])('as %s says it', (_, body, ms) => {
    expect(readErrorBody(429, JSON.stringify(body), { now: 1_700_000_000_000 }).retryAfterMs).toBe(
      ms,
    );
    const fault = faultInAnswer(body, { now: 1_700_000_000_000 });
    expect(fault).toMatchObject({ code: 'upstream_rate_limited' });
    expect(fault.retryAfterMs).toBe(ms);
  });
});
