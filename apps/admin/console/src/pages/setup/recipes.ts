/* What to copy into a client so that it asks this ingress. Only clients that speak OpenAI's chat completions, which is what is served. */

export type Access = {
  /** Of the ingress, without a path: `http://127.0.0.1:8080`. */
  origin: string;
  key: string;
  model: string;
};

export type Recipe = {
  id: string;
  title: string;
  /** What to know before, in one sentence. */
  note?: string;
  install?: string;
  /** Of a file, a terminal, or a form to fill in. */
  text: string;
};

/** A word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A string of JavaScript, Python and YAML: all three read what JSON writes. */
const literal = (text: string): string => JSON.stringify(text);

export function recipesFor({ origin, key, model }: Access): Recipe[] {
  const base = `${origin}/v1`;
  const body = JSON.stringify({
    model,
    stream: true,
    messages: [{ role: 'user', content: 'Hello' }],
  });
  return [
    {
      id: 'curl',
      title: 'curl',
      text: `curl -N ${shellWord(`${base}/chat/completions`)} \\
  -H ${shellWord(`authorization: Bearer ${key}`)} -H 'content-type: application/json' \\
  -d ${shellWord(body)}`,
    },
    {
      id: 'env',
      title: 'Environment',
      note: 'Most programs that use an SDK of OpenAI read these two variables.',
      text: `export OPENAI_BASE_URL=${shellWord(base)}
export OPENAI_API_KEY=${shellWord(key)}`,
    },
    {
      id: 'openai-python',
      title: 'OpenAI for Python',
      install: 'pip install openai',
      text: `from openai import OpenAI

client = OpenAI(
    base_url=${literal(base)},
    api_key=${literal(key)},
)
stream = client.chat.completions.create(
    model=${literal(model)},
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    },
    {
      id: 'openai-node',
      title: 'OpenAI for Node',
      install: 'npm install openai',
      text: `import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: ${literal(base)},
  apiKey: ${literal(key)},
});
const stream = await client.chat.completions.create({
  model: ${literal(model)},
  messages: [{ role: 'user', content: 'Hello' }],
  stream: true,
});
for await (const { choices } of stream) {
  process.stdout.write(choices[0]?.delta?.content ?? '');
}`,
    },
    {
      id: 'vercel',
      title: 'Vercel AI SDK',
      note: 'The package @ai-sdk/openai asks for the Responses API, which is not served: use the compatible provider.',
      install: 'npm install ai @ai-sdk/openai-compatible',
      text: `import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';

const millrace = createOpenAICompatible({
  name: 'millrace',
  baseURL: ${literal(base)},
  apiKey: ${literal(key)},
});
const { textStream } = streamText({ model: millrace(${literal(model)}), prompt: 'Hello' });
for await (const text of textStream) process.stdout.write(text);`,
    },
    {
      id: 'langchain-python',
      title: 'LangChain for Python',
      install: 'pip install langchain-openai',
      text: `from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url=${literal(base)},
    api_key=${literal(key)},
    model=${literal(model)},
)
for chunk in model.stream("Hello"):
    print(chunk.content, end="", flush=True)`,
    },
    {
      id: 'langchain-js',
      title: 'LangChain for JavaScript',
      install: 'npm install @langchain/openai @langchain/core',
      text: `import { ChatOpenAI } from '@langchain/openai';

const model = new ChatOpenAI({
  model: ${literal(model)},
  apiKey: ${literal(key)},
  configuration: { baseURL: ${literal(base)} },
});
for await (const chunk of await model.stream('Hello')) {
  process.stdout.write(String(chunk.content));
}`,
    },
    {
      id: 'continue',
      title: 'Continue',
      note: 'In its config.yaml.',
      text: `models:
  - name: ${literal(`Millrace ${model}`)}
    provider: openai
    model: ${literal(model)}
    apiBase: ${literal(base)}
    apiKey: ${literal(key)}
    roles: [chat, edit]`,
    },
    {
      id: 'open-webui',
      title: 'Open WebUI',
      note: 'In a container, 127.0.0.1 is the container itself: use an address of this machine.',
      text: `OPENAI_API_BASE_URL=${shellWord(base)} OPENAI_API_KEY=${shellWord(key)} open-webui serve`,
    },
    {
      id: 'form',
      title: 'Cursor and other tools',
      note: 'Any tool whose settings have an OpenAI base URL. Cursor asks from its own servers, so it needs an address that the internet reaches.',
      text: `OpenAI base URL  ${base}
API key          ${key}
Model            ${model}`,
    },
    {
      id: 'resume',
      title: 'Read a stream again',
      note: 'What only Millrace has: the request runs on without its reader, and any reader gets the stream from any event on.',
      text: `ID=$(curl -s ${shellWord(`${base}/jobs`)} -H ${shellWord(`authorization: Bearer ${key}`)} \\
  -H 'content-type: application/json' -d ${shellWord(`{"body":${body}}`)} | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
curl -N ${shellWord(`${base}/jobs/`)}$ID/events -H ${shellWord(`authorization: Bearer ${key}`)} -H 'last-event-id: 1-5'`,
    },
  ];
}
