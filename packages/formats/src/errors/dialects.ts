import { faultTable } from '@millrace/shared/domain/fault';
import type { FaultCode } from '@millrace/shared/domain/fault';

/*
 * The meaning of providers' errors that do not use OpenAI's codes. The only place that interprets their
 * messages. Sources: the error pages of their documentation, and observed errors.
 */

/** One form of an error; all given conditions have to hold. */
export type Dialect = {
  /** The providers that use it. */
  by: string;
  means: FaultCode;
  /** A code, type or status name; case-insensitive. */
  codes?: readonly string[];
  says?: RegExp;
  /** @defaultValue 400 to 500 but 429, which is also what an error inside an answer is read as */
  statuses?: readonly number[];
};

const tooLong: readonly Dialect[] = [
  // The request exceeds the account's tokens per minute: waiting does not help, a shorter request does.
  {
    by: 'OpenAI, Groq',
    means: 'context_length_exceeded',
    says: /request too large for .{1,300}(tokens per min|\bTPM\b)/i,
    statuses: [413, 429],
  },
  {
    by: 'OpenAI, Azure, llama.cpp, Copilot, xAI',
    means: 'context_length_exceeded',
    codes: [
      'context_length_exceeded',
      'string_above_max_length',
      'exceed_context_size_error',
      'context_exceeded',
      'model_max_prompt_tokens_exceeded',
      'minimax_1039',
    ],
  },
  {
    by: 'DeepSeek, OpenRouter, vLLM, Ollama, Mistral, Fireworks, xAI',
    means: 'context_length_exceeded',
    says: /max(imum)? (allowed )?(context|prompt|model|input) (length|size)\b/i,
  },
  {
    by: 'Anthropic, Vertex, Fireworks, Ollama, Bedrock',
    means: 'context_length_exceeded',
    says: /\b(prompt|input) (is )?too long\b/i,
  },
  {
    by: 'OpenAI, Anthropic, llama.cpp, MiniMax',
    means: 'context_length_exceeded',
    says: /exceed(s|ed)? (the |this |its |model'?s? |available |configured ){0,3}context (length|limit|size|window)|context (window|length) exceed/i,
  },
  {
    by: 'Gemini, Vertex, Bedrock',
    means: 'context_length_exceeded',
    says: /input tokens? (count|exceed)|number of input tokens|too many input tokens|maximum number of (input )?tokens/i,
  },
  { by: 'Cohere, Bedrock', means: 'context_length_exceeded', says: /^too many tokens\b/im },
  {
    by: 'Together, Text Generation Inference',
    means: 'context_length_exceeded',
    says: /`?inputs`?( tokens)? (\+ `?max_new_tokens`? )?must (be <=|have less than)/i,
  },
  {
    by: 'Groq, Cerebras, DeepSeek',
    means: 'context_length_exceeded',
    says: /reduce the length of (the|your) (messages|prompt|input)/i,
  },
  {
    by: 'SGLang, vLLM, LM Studio',
    means: 'context_length_exceeded',
    says: /(longer|greater) than the (model's |maximum )?(context|model) length/i,
  },
  {
    by: 'Moonshot, Copilot',
    means: 'context_length_exceeded',
    says: /exceed(s|ed) (the )?model('s)? token limit|token count of \d+ exceeds/i,
  },
  {
    by: 'Alibaba, Zhipu, Perplexity',
    means: 'context_length_exceeded',
    says: /range of input length should be|prompt exceeds max length|combined (token count|length) of|input length .{0,60}exceeds/i,
  },
  { by: 'Zhipu', means: 'context_length_exceeded', codes: ['1261'] },
];

const filtered: readonly Dialect[] = [
  {
    by: 'Azure, OpenAI, Alibaba, MiniMax, Zhipu',
    means: 'content_filtered',
    codes: [
      'content_filter',
      'content_policy_violation',
      'image_content_policy_violation',
      'bio_policy',
      'cyber_policy',
      'ResponsibleAIPolicyViolation',
      'moderation_blocked',
      'data_inspection_failed',
      'DataInspectionFailed',
      'minimax_1026',
      'minimax_1027',
      '1301',
    ],
  },
  {
    by: 'Anthropic, Azure, DeepSeek, xAI, OpenRouter, OpenAI',
    means: 'content_filtered',
    says: /content filtering policy|content management policy|content exists risk|violates usage guidelines|input was flagged|prompt was flagged|requires moderation/i,
    statuses: [400, 403, 422, 500],
  },
];

const noSuchModel: readonly Dialect[] = [
  // The client chose it, not the config.
  {
    by: 'OpenAI, Anthropic',
    means: 'upstream_rejected',
    says: /^(no such file|file not found)\b/i,
    statuses: [404],
  },
  {
    by: 'OpenRouter',
    means: 'target_unsuited',
    says: /no endpoints found that (support|can handle)/i,
    statuses: [404],
  },
  {
    by: 'OpenAI, Azure, Mistral, Together, Groq, Gemini, Moonshot, Zhipu, vLLM',
    means: 'upstream_model_not_found',
    codes: [
      'model_not_found',
      'DeploymentNotFound',
      'unknown_model',
      'invalid_model',
      'model_not_available',
      'model_decommissioned',
      'model_not_supported',
      'model_terms_required',
      'resource_not_found_error',
      'ResourceNotFoundException',
      'not_found_error',
      'NotFoundError',
      'ModelNotFound',
      'Model.AccessDenied',
      '1211',
    ],
  },
  {
    by: 'DeepSeek, OpenRouter, Perplexity, Mistral, xAI, Alibaba',
    means: 'upstream_model_not_found',
    says: /\bmodel not exist|is not a valid model( id)?\b|\binvalid model( name| id)?[:'"` ]{1,2}|\bmodel not found|unknown model\b|no endpoints found for /i,
  },
  {
    by: 'Bedrock',
    means: 'upstream_model_not_found',
    says: /model identifier is invalid|on-demand throughput isn.t supported|don.t have access to the model|legacy model|end of its life/i,
  },
  {
    by: 'OpenAI, Ollama, vLLM, Together, Cohere, Vertex, Azure',
    means: 'upstream_model_not_found',
    says: /\bmodels?[ :/]{1,2}['"`]?[^\s'"`]{1,150}['"`]? (does not exist|(is |was )?not found|has been (deprecated|decommissioned))/i,
  },
  { by: 'Anthropic', means: 'upstream_model_not_found', says: /^model: /i },
  {
    by: 'Azure',
    means: 'upstream_model_not_found',
    codes: ['OperationNotSupported'],
    says: /does not work with the specified model/i,
  },
];

const badKey: readonly Dialect[] = [
  {
    by: 'OpenAI, Anthropic, Gemini, Moonshot, DeepSeek, Bedrock, Alibaba, Zhipu, MiniMax',
    means: 'upstream_auth_failed',
    codes: [
      'invalid_api_key',
      'incorrect_api_key',
      'InvalidApiKey',
      'API_KEY_INVALID',
      'API_KEY_SERVICE_BLOCKED',
      'API_KEY_HTTP_REFERRER_BLOCKED',
      'API_KEY_IP_ADDRESS_BLOCKED',
      'CONSUMER_INVALID',
      'SERVICE_DISABLED',
      'UNAUTHENTICATED',
      'PERMISSION_DENIED',
      'authentication_error',
      'invalid_authentication_error',
      'permission_error',
      'account_deactivated',
      'unsupported_country_region_territory',
      'UnrecognizedClientException',
      'InvalidSignatureException',
      'ExpiredTokenException',
      'AccessDeniedException',
      'unauthorized',
      'forbidden',
      'minimax_1004',
      'minimax_2049',
    ],
  },
  {
    by: 'xAI, Gemini, Cohere, Together, DeepSeek',
    means: 'upstream_auth_failed',
    says: /^(unauthorized|forbidden)\.?$|\b(incorrect|invalid|missing|expired|wrong) (api|subscription|access) ?(key|token)|\bapi ?key (is )?(not valid|invalid|expired|missing|not found|has been)|authentication fail/im,
  },
  {
    by: 'Gemini, OpenAI',
    means: 'upstream_auth_failed',
    says: /user location is not supported|country, region, or territory not supported/i,
  },
  {
    by: 'Bedrock',
    means: 'upstream_auth_failed',
    says: /security token included in the request|signature .{0,40}does not match/i,
  },
];

const noCredit: readonly Dialect[] = [
  // A quota per minute: codes and texts are those of an account without credit.
  {
    by: 'Cohere, by the minute',
    means: 'upstream_rate_limited',
    says: /trial key.{1,80}(per|\/) minute/i,
    statuses: [429, 500],
  },
  {
    by: 'Gemini, by the day',
    means: 'upstream_quota_exceeded',
    codes: ['RESOURCE_EXHAUSTED'],
    says: /\bper day\b|PerDay/,
    statuses: [429],
  },
  {
    by: 'Gemini, Vertex',
    means: 'upstream_rate_limited',
    codes: ['RESOURCE_EXHAUSTED'],
    statuses: [429, 500],
  },
  {
    by: 'OpenAI, Anthropic, Azure, Moonshot, Alibaba, Zhipu, MiniMax',
    means: 'upstream_quota_exceeded',
    codes: [
      'insufficient_quota',
      'billing_hard_limit_reached',
      'billing_not_active',
      'billing_error',
      'exceeded_current_quota_error',
      'Arrearage',
      'insufficient_balance',
      'minimax_1008',
      '1113',
    ],
    statuses: [400, 401, 402, 403, 412, 429, 500],
  },
  {
    by: 'Anthropic, DeepSeek, OpenRouter, xAI, Together, Fireworks, Cohere, Groq, Perplexity',
    means: 'upstream_quota_exceeded',
    says: /credit balance is too low|insufficient (balance|credits?|funds|quota)|(usage|spend|spending|credit|key) limit|used all available credits|exceeded your current quota|requires more credits|trial key|monthly (spend|usage|quota)|account .{1,80}is suspended|good standing|plan and billing|enable billing|billing (account|is not|not active)/i,
    statuses: [400, 401, 402, 403, 412, 429, 500],
  },
];

const busy: readonly Dialect[] = [
  {
    by: 'Moonshot, Mistral, Bedrock',
    means: 'upstream_overloaded',
    codes: [
      'engine_overloaded_error',
      'engine_overloaded',
      'overloaded_error',
      'overloaded',
      'capacity_exceeded',
      'server_overloaded',
      'ModelNotReadyException',
      'ServiceUnavailableException',
      'UNAVAILABLE',
    ],
    statuses: [400, 429, 498, 500, 502, 503, 529],
  },
  {
    by: 'OpenAI, Azure, Anthropic, Mistral, Bedrock, Zhipu, MiniMax',
    means: 'upstream_rate_limited',
    codes: [
      'rate_limit_exceeded',
      'rate_limit_error',
      'rate_limit_reached_error',
      'RateLimitReached',
      'rate_limited',
      'rate_limit',
      'too_many_requests',
      'ThrottlingException',
      'Throttling',
      'Throttling.RateQuota',
      'slow_down',
      'minimax_1002',
      '1302',
      '1303',
    ],
    statuses: [400, 403, 413, 429, 500, 503],
  },
  {
    by: 'providers that report it inside an answer, without a code',
    means: 'upstream_rate_limited',
    says: /\brate.limit(ed)?( is| was)? (reached|exceeded|upstream)|\btoo many requests\b/i,
    statuses: [400, 500],
  },
];

const others: readonly Dialect[] = [
  // The code is exact, whatever words the message has: it may quote names of models.
  {
    by: 'OpenAI, and providers with its codes',
    means: 'upstream_model_not_found',
    codes: ['model_not_found'],
  },
  {
    by: 'OpenAI, Azure, Mistral, and others that check their fields',
    means: 'stream_options_refused',
    says: /\bstream_options\b(?!\.(?!include_usage))/i,
    statuses: [400, 422],
  },
  {
    by: 'Groq',
    means: 'upstream_unusable_output',
    codes: ['tool_use_failed', 'json_validate_failed'],
  },
  { by: 'llama.cpp', means: 'target_unsuited', says: /requires --jinja/i },
  // The reasoning in the conversation is another account's, or another provider's.
  { by: 'OpenAI', means: 'target_unsuited', codes: ['invalid_encrypted_content'] },
  { by: 'Anthropic', means: 'target_unsuited', codes: ['request_too_large'] },
  { by: 'Anthropic', means: 'target_unsuited', says: /\bprefill\b/i },
  {
    by: 'Gemini',
    means: 'target_unsuited',
    says: /requests? end(s|ing)? with a (model|user) (turn|role)|\bis not enabled for (this model|models\/)|not a supported thinking level|missing a thought_?signature|function calling with a response mime type/i,
  },
  // The client chose the file, not the config.
  {
    by: 'Gemini',
    means: 'upstream_rejected',
    says: /permission to access the file\b|cachedcontent not found/i,
    statuses: [400, 403, 404],
  },
];

/** The first match counts, so more exact entries come first. */
export const dialects: readonly Dialect[] = [
  ...others,
  ...tooLong,
  ...filtered,
  ...noCredit,
  ...noSuchModel,
  ...badKey,
  ...busy,
];

/** Characters of a provider's message that are examined: a longer one is a page, or the request itself. */
const maxChars = 2000;

/**
 * The meaning of an error by the table; undefined if only its status is known. `request`: the body that it
 * answers, as JSON text.
 */
export function meaningOf(
  status: number,
  codes: readonly string[],
  said: string,
  request: string,
): FaultCode | undefined {
  const words = new Set(codes.map((code) => code.toLowerCase()));
  const text = said.slice(0, maxChars);
  const isCode = (code: string, means: FaultCode) =>
    words.has(code.toLowerCase()) &&
    !(saysNoMore(status) && isCostly(means) && isCodeIn(request, code));
  return dialects.find(
    ({ codes: some, says, statuses, means }) =>
      (statuses ? statuses.includes(status) : isRefusal(status)) &&
      (!some || some.some((code) => isCode(code, means))) &&
      (!says || (says.test(text) && (!isCostly(means) || isOwnWord(says, text, request)))),
  )?.means;
}

/**
 * A status that does not determine the error, so a code that also occurs in the request may be a quotation of
 * it.
 */
const saysNoMore = (status: number): boolean => status === 400 || status === 422 || status === 500;

/**
 * A fault that affects other requests: it counts against the target, or pauses a key. A client must not be
 * able to cause it with a value that the provider quotes ("Invalid value: 'incorrect api key'").
 */
const isCostly = (code: FaultCode): boolean =>
  faultTable[code].health || code === 'upstream_rate_limited';

/** Whether the match is the provider's own text and not a quotation of the request. */
const isOwnWord = (says: RegExp, text: string, request: string): boolean =>
  [...text.matchAll(new RegExp(says, `${says.flags}g`))].some(([words]) => !isIn(request, words));

/** Whether a JSON text contains these words, regardless of separators and escapes. */
const isIn = (json: string, words: string): boolean => hasWords(json, patternOf(words));

/** The same for a code, as a separate word: an image in base64 contains any four digits somewhere. */
const isCodeIn = (json: string, code: string): boolean =>
  hasWords(json, `(?<![a-z0-9])${patternOf(code)}(?![a-z0-9])`);

const patternOf = (words: string): string =>
  (words.match(/[a-z0-9]+/gi) ?? []).join(String.raw`(?:\\[bfnrt]|[^a-z0-9])+`);

function hasWords(json: string, pattern: string): boolean {
  const text = json.replaceAll(/\\u00([2-7][0-9a-f])/gi, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
  return pattern !== '' && new RegExp(pattern, 'i').test(text);
}

const isRefusal = (status: number): boolean => status >= 400 && status <= 500 && status !== 429;
