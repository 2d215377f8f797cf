import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { ensureInstalled } from './agents.ts';

/*
 * Frameworks as clients: Vercel's AI SDK, LangChain and OpenAI's Agents SDK, and a mock of providers. Together they have some 280 MB, so they are no
 * packages of the project: the first test that needs them installs them.
 */

const packages = [
  'ai@6.0.326',
  '@ai-sdk/openai@3.0.141',
  '@ai-sdk/anthropic@3.0.140',
  '@ai-sdk/google@3.0.141',
  '@ai-sdk/openai-compatible@2.0.92',
  '@langchain/core@1.4.0',
  '@langchain/openai@1.5.8',
  '@langchain/anthropic@1.5.11',
  '@openai/agents@0.20.0',
  '@copilotkit/aimock@1.43.0',
  'openai@7.59.0',
  'zod@4.6.7',
];

const entry = `globalThis.AI_SDK_LOG_WARNINGS = false;
export * as ai from 'ai';
export { createOpenAI } from '@ai-sdk/openai';
export { createAnthropic } from '@ai-sdk/anthropic';
export { createGoogleGenerativeAI } from '@ai-sdk/google';
export { createOpenAICompatible } from '@ai-sdk/openai-compatible';
export { ChatOpenAI } from '@langchain/openai';
export { ChatAnthropic } from '@langchain/anthropic';
export { ToolMessage } from '@langchain/core/messages';
export * as agents from '@openai/agents';
export { OpenAI } from 'openai';
export { LLMock } from '@copilotkit/aimock';
`;

/** What a client made of a stream. */
export type Told = {
  text: string;
  /** Reasons of ends, in the client's own words. */
  finishes: string[];
  /** Tokens of the output. */
  output: number | undefined;
  /** Cities for which the weather tool was called. */
  cities: string[];
};

/** Asks a model of a fleet in a stream, runs the weather tool if it is called, and goes on with its result. */
export type Client = (url: string, model: string) => Promise<Told>;

export const clientNames = [
  'AI SDK, OpenAI chat',
  'AI SDK, OpenAI responses',
  'AI SDK, OpenAI compatible',
  'AI SDK, Anthropic',
  'AI SDK, Google',
  'LangChain, OpenAI',
  'LangChain, Anthropic',
  'OpenAI Agents, chat',
  'OpenAI Agents, responses',
] as const;

export type ClientName = (typeof clientNames)[number];

export type Frameworks = {
  clients: Record<ClientName, Client>;
  /** Providers of other people: CopilotKit's aimock serves all formats at one port. */
  Mock: Modules['LLMock'];
};

/** The clients and the mock of providers; undefined where they cannot be installed. */
export async function ensureFrameworks(): Promise<Frameworks | undefined> {
  const version = createHash('sha256')
    .update(packages.join() + entry)
    .digest('hex')
    .slice(0, 8);
  const file = await ensureInstalled(`frameworks-${version}`, packages, 'index.mjs', entry);
  if (file === undefined) return undefined;
  const module = (await import(pathToFileURL(file).href)) as Modules;
  const { createOpenAI, createOpenAICompatible, createAnthropic, createGoogleGenerativeAI } =
    module;
  const apiKey = 'none';
  const clients: Frameworks['clients'] = {
    'AI SDK, OpenAI chat': (url, model) =>
      askAiSdk(module, createOpenAI({ baseURL: `${url}/v1`, apiKey }).chat(model)),
    'AI SDK, OpenAI responses': (url, model) =>
      askAiSdk(module, createOpenAI({ baseURL: `${url}/v1`, apiKey }).responses(model)),
    'AI SDK, OpenAI compatible': (url, model) => {
      const options = { name: 'millrace', baseURL: `${url}/v1`, apiKey, includeUsage: true };
      return askAiSdk(module, createOpenAICompatible(options)(model));
    },
    'AI SDK, Anthropic': (url, model) =>
      askAiSdk(module, createAnthropic({ baseURL: `${url}/v1`, apiKey })(model)),
    'AI SDK, Google': (url, model) =>
      askAiSdk(module, createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey })(model)),
    'LangChain, OpenAI': (url, model) =>
      askLangChain(
        module,
        new module.ChatOpenAI({
          model,
          apiKey,
          maxRetries: 0,
          configuration: { baseURL: `${url}/v1` },
        }),
      ),
    'LangChain, Anthropic': (url, model) =>
      askLangChain(
        module,
        new module.ChatAnthropic({ model, apiKey, maxRetries: 0, anthropicApiUrl: url }),
      ),
    'OpenAI Agents, chat': (url, model) => askAgent(module, url, model, 'chat_completions'),
    'OpenAI Agents, responses': (url, model) => askAgent(module, url, model, 'responses'),
  };
  return { clients, Mock: module.LLMock };
}

const name = 'get_weather';
const description = 'the weather';
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const report = 'sunny';

async function askAiSdk({ ai }: Modules, model: unknown): Promise<Told> {
  const told: Told = { text: '', finishes: [], output: undefined, cities: [] };
  const execute = ({ city }: { city: string }) => {
    told.cities.push(city);
    return report;
  };
  const weather = ai.tool({ description, inputSchema: ai.jsonSchema(parameters), execute });
  const { fullStream } = ai.streamText({
    model,
    prompt: 'hello',
    tools: { [name]: weather },
    stopWhen: ai.stepCountIs(3),
    maxRetries: 0,
    onError: () => {},
  });
  for await (const part of fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'text-delta') told.text += part.text ?? '';
    if (part.type !== 'finish-step') continue;
    told.finishes.push(part.finishReason ?? '');
    told.output = part.usage?.outputTokens;
  }
  return told;
}

async function askLangChain({ ToolMessage }: Modules, chat: Chat): Promise<Told> {
  const told: Told = { text: '', finishes: [], output: undefined, cities: [] };
  const bound = chat.bindTools([{ type: 'function', function: { name, description, parameters } }]);
  const messages: unknown[] = [{ role: 'user', content: 'hello' }];
  for (;;) {
    let whole: Message | undefined;
    for await (const chunk of await bound.stream(messages)) {
      const { finish_reason: finish, stop_reason: stop } = {
        ...chunk.response_metadata,
        ...chunk.additional_kwargs,
      };
      const reason = finish ?? stop;
      if (typeof reason === 'string') told.finishes.push(reason);
      whole = whole?.concat(chunk) ?? chunk;
    }
    if (whole === undefined) return told;
    told.output = whole.usage_metadata?.output_tokens;
    told.text += whole.text;
    if ((whole.tool_calls ?? []).length === 0) return told;
    messages.push(whole);
    for (const { id, args } of whole.tool_calls ?? []) {
      told.cities.push(args.city);
      messages.push(new ToolMessage({ tool_call_id: id, content: report }));
    }
  }
}

async function askAgent(
  { agents, OpenAI }: Modules,
  url: string,
  model: string,
  api: 'chat_completions' | 'responses',
): Promise<Told> {
  const told: Told = { text: '', finishes: [], output: undefined, cities: [] };
  agents.setTracingDisabled(true);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const chosen =
    api === 'responses'
      ? new agents.OpenAIResponsesModel(client, model)
      : new agents.OpenAIChatCompletionsModel(client, model);
  const execute = ({ city }: { city: string }) => {
    told.cities.push(city);
    return report;
  };
  const weather = agents.tool({ name, description, parameters, strict: true, execute });
  const agent = new agents.Agent({ name: 'agent', model: chosen, tools: [weather] });
  const run = await agents.run(agent, 'hello', { stream: true });
  for await (const { type, data } of run) {
    if (type !== 'raw_model_stream_event' || data === undefined) continue;
    if (data.type === 'output_text_delta') told.text += data.delta ?? '';
    if (data.type !== 'response_done') continue;
    told.finishes.push('done');
    told.output = data.response?.usage.outputTokens;
  }
  await run.completed;
  return told;
}

// What the functions above use of the packages, which are not there when types are checked.

type Make<Options, Made> = (options: Options) => Made;
type Weather = (given: { city: string }) => string;

type Modules = {
  ai: {
    tool: Make<{ description: string; inputSchema: unknown; execute: Weather }, unknown>;
    jsonSchema: Make<object, unknown>;
    stepCountIs: Make<number, unknown>;
    streamText: Make<object, { fullStream: AsyncIterable<AiPart> }>;
  };
  createOpenAI: Make<object, { chat: Make<string, unknown>; responses: Make<string, unknown> }>;
  createAnthropic: Make<object, Make<string, unknown>>;
  createGoogleGenerativeAI: Make<object, Make<string, unknown>>;
  createOpenAICompatible: Make<object, Make<string, unknown>>;
  ChatOpenAI: new (options: object) => Chat;
  ChatAnthropic: new (options: object) => Chat;
  ToolMessage: new (message: { tool_call_id: string; content: string }) => unknown;
  agents: {
    setTracingDisabled(disabled: boolean): void;
    OpenAIResponsesModel: new (client: unknown, model: string) => unknown;
    OpenAIChatCompletionsModel: new (client: unknown, model: string) => unknown;
    tool: Make<object, unknown>;
    Agent: new (options: object) => unknown;
    run(
      agent: unknown,
      input: string,
      options: object,
    ): Promise<AsyncIterable<AgentEvent> & { completed: Promise<void> }>;
  };
  OpenAI: new (options: object) => unknown;
  LLMock: new (options: { port: number; chunkSize: number }) => Mock;
};

export type Mock = {
  readonly url: string;
  on(match: { model: string }, answer: object, options?: object): unknown;
  start(): Promise<string>;
  stop(): Promise<void>;
};

type AiPart = {
  type: string;
  text?: string;
  error?: unknown;
  finishReason?: string;
  usage?: { outputTokens?: number };
};

type Message = {
  text: string;
  concat(chunk: Message): Message;
  response_metadata: Record<string, unknown>;
  additional_kwargs: Record<string, unknown>;
  usage_metadata?: { output_tokens: number };
  tool_calls?: { id: string; args: { city: string } }[];
};

type Chat = {
  bindTools(tools: object[]): { stream(messages: unknown[]): Promise<AsyncIterable<Message>> };
};

type AgentEvent = {
  type: string;
  data?: {
    type: string;
    delta?: string;
    response?: { usage: { outputTokens: number } };
  };
};
