import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aliases, chat, complete, createJob, readEvents, stream } from '../kit/api.ts';
import { contentOf, eventsOf, isTerminated } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { open } from '../kit/http.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';
import { openSocket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// What a provider says, in every shape that the simulated one has.
const shapes = [
  'healthy:tokens=12,vendor=1',
  'healthy:tokens=12,logprobs=1',
  'healthy:tokens=12,reasoning=7',
  'refusal',
  'tools:calls=2,vendor=1',
  'healthy:tokens=12,n=3',
  'healthy:tokens=12,unicode=1,bytes=1',
  'healthy:tokens=12,eol=crlf,bytes=1',
  'healthy:tokens=12,eol=cr',
  'healthy:tokens=12,nospace=1,comments=1',
  'healthy:tokens=12,usage=never',
  'healthy:tokens=12,role=1,first=30',
  'length:tokens=12',
  'content-filter-finish:tokens=12',
];

/** Of its chunks, the one with the finish_reason has the usage. */
const usageAtFinish = 'healthy:tokens=12,usage=finish';

const prettyAnswer = `{
  "id": "chatcmpl-1",
  "object": "chat.completion",\r
  "created": 1,
  "model": "m",
  "choices": [
    { "index": 0, "message": { "role": "assistant", "content": "line\\nbreak" },
      "finish_reason": "stop", "x": 9007199254740993 }
  ]
}
`;
const prettyChunk = (delta: string, finish: string) => `{
  "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
  "choices": [
    { "index": 0, "delta": ${delta}, "finish_reason": ${finish}, "x": 1.10 }
  ]
}`;
const inDataLines = (text: string) =>
  `${text
    .split('\n')
    .map((line) => `data: ${line}`)
    .join('\n')}\n\n`;
const prettyStream =
  inDataLines(prettyChunk('{ "role": "assistant", "content": "a\\nb" }', 'null')) +
  inDataLines(prettyChunk('{}', '"stop"')) +
  'data: [DONE]\n\n';

/** Empty identity first, a role and `usage: null` in each chunk, two calls of one index. */
const oddChunk = (delta: object, finish: string | null = null) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason: finish }],
  usage: null,
});
const oddCall = (id: string, name: string, text: string) =>
  oddChunk({
    tool_calls: [{ index: 0, id, type: 'function', function: { name, arguments: text } }],
  });
const oddStream = [
  { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [] },
  oddChunk({ content: 'Let me see.' }),
  oddCall('a', 'f', '{"x"'),
  oddCall('a', 'f', ':1}'),
  oddCall('b', 'g', '{"y"'),
  oddCall('b', 'g', ':2}'),
  oddChunk({}, 'tool_calls'),
  { id: 'chatcmpl-1', created: 1, model: 'm', choices: [], usage: { total_tokens: 9 } },
];
const oddCalls = [
  { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
  { id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":2}' } },
];

let fleet: Fleet;
let pretty: RawProvider;
beforeAll(async () => {
  pretty = await startRawProvider({
    whole: { contentType: 'application/json', body: prettyAnswer },
    stream: { contentType: 'text/event-stream', body: prettyStream },
    odd: {
      contentType: 'text/event-stream',
      body: `${oddStream.map((one) => `data: ${JSON.stringify(one)}\n\n`).join('')}data: [DONE]\n\n`,
    },
  });
  const target = (model: string) => ({ targets: [{ provider: 'pretty', model }] });
  fleet = await startFleet({
    models: {
      ...aliases(...shapes, usageAtFinish),
      alias: 'echo:pace=0',
      'pretty-whole': target('whole'),
      'pretty-stream': target('stream'),
      'odd-stream': target('odd'),
    },
    config: {
      providers: { pretty: { api: 'openai', baseUrl: pretty.baseUrl, check: { kind: 'off' } } },
    },
  });
});
afterAll(async () => {
  await fleet.close();
  await pretty.close();
});

// Everything that JSON.parse and JSON.stringify would change on the way.
const oddMembers =
  '"messages":[ {"role":"user","content":"h\\u00e9llo \\ud83d\\ude80 é🚀\\/"} ] ,\n' +
  '\t"seed":12345678901234567890, "temperature":1.0,"top_p":1e-1 ,"2":"b","1":"a",' +
  '"x_nested":{ "z":[1.10,-0,0.1E+2, 9007199254740993] , "model":"inner","stream_options":1 },' +
  '"dup":1,"dup":{}, "__proto__":{"a":1}, "\\u0078_escaped":null';

/** The body that the provider got for a request that says who it is. */
const received = async (user: string): Promise<string> => {
  const isIt = (rawBody: string) => rawBody.includes(`"${user}"`);
  const { rawBody } = await fleet.primary.waitFor((request) => isIt(request.rawBody));
  return rawBody;
};

describe('a request body reaches the provider byte for byte, but for the model', () => {
  it('without stream, white space around it and all', async () => {
    const body = ` \n{ "model" : "alias" ,${oddMembers},"user":"whole" } \r\n`;
    const answer = await complete(fleet.url, body).ended;
    expect(answer.status).toBe(200);
    expect(await received('whole')).toBe(body.replace('"alias"', '"echo:pace=0"'));
    // And what the provider made of it came back: it repeats its request.
    const { choices } = JSON.parse(answer.text) as { choices: { message: { content: string } }[] };
    expect(choices[0]?.message.content).toBe(await received('whole'));
  });

  it('with stream, and usage is asked for behind all else', async () => {
    const body = `{ "stream":true,${oddMembers}, "model":"alias","user":"streamed"\n}`;
    const events = eventsOf((await complete(fleet.url, body).ended).text);
    const expected = body
      .replace('"alias"', '"echo:pace=0"')
      .replace('"streamed"', '"streamed","stream_options":{"include_usage":true}');
    expect(await received('streamed')).toBe(expected);
    expect(contentOf(events)).toBe(expected);
  });

  it('with stream_options of its own, which get include_usage only', async () => {
    const options = '{ "include_obfuscation" : false , "include_usage" :false,"x":1.0 }';
    const body = `{"stream_options":${options},${oddMembers},"model":"alias","stream":true,"user":"options"}`;
    await complete(fleet.url, body).ended;
    const expected = body
      .replace('"model":"alias"', '"model":"echo:pace=0"')
      .replace('"include_usage" :false', '"include_usage" :true');
    expect(await received('options')).toBe(expected);
  });

  it('in a job, whatever is around it', async () => {
    const inner = `{ "model" : "alias",${oddMembers} , "user":"job" }`;
    const text = `{"metadata":{"body":{"model":"x"}}, "body" :\n ${inner} ,"endpoint":"/v1/chat/completions"}`;
    const answer = await open(`${fleet.url}/v1/jobs`, { body: text }).ended;
    expect(answer.status).toBe(202);
    expect(await received('job')).toBe(inner.replace('"alias"', '"echo:pace=0"'));
  });

  it('over a WebSocket', async () => {
    const inner = `{"model":"alias" , ${oddMembers},"user":"socket" }`;
    const socket = await openSocket(fleet.url);
    socket.send(`{ "ref":"1","body" : ${inner} , "type":"create"}`);
    expect(await received('socket')).toBe(inner.replace('"alias"', '"echo:pace=0"'));
    await socket.next(({ type }) => type === 'done');
    await socket.close();
  });

  it('of megabytes', async () => {
    const filler = 'é🚀"\\'.repeat(200_000);
    const body = JSON.stringify(chat('alias', { user: 'megabytes', x_filler: filler }));
    expect((await complete(fleet.url, body).ended).status).toBe(200);
    expect(await received('megabytes')).toBe(body.replace('"alias"', '"echo:pace=0"'));
  });
});

describe('of the request head', () => {
  it('the trace goes on to the provider, and secrets do not', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const secrets = { authorization: 'Bearer sk-of-the-client', 'x-api-key': 'k', cookie: 'a=b' };
    const answer = complete(fleet.url, chat('alias', { user: 'head' }), {
      traceparent,
      ...secrets,
    });
    expect((await answer.ended).status).toBe(200);
    const { headers } = await fleet.primary.waitFor(({ rawBody }) => rawBody.includes('"head"'));
    expect(headers.traceparent).toBe(traceparent);
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('x-api-key');
    expect(headers).not.toHaveProperty('cookie');
  });
});

/** Ids and times are the only things that differ between two answers of a simulated provider. */
const withoutIdentity = (text: string) =>
  text.replaceAll(/chatcmpl-sim-\d{9}/g, 'ID').replaceAll(/"created":\d+/g, '"created":0');

const dataOf = (text: string) => eventsOf(withoutIdentity(text)).map(({ data }) => data);

const tools = [{ type: 'function', function: { name: 'weather', parameters: {} } }];
const withUsage = { stream: true, stream_options: { include_usage: true } };

describe('an answer reaches the client byte for byte', () => {
  it.each(shapes)('as a stream: %s', async (model) => {
    const body = chat(model, { tools, ...withUsage });
    const [direct, through] = await Promise.all([
      complete(fleet.primary.url, body).ended,
      complete(fleet.url, body).ended,
    ]);
    expect(through.headers['content-type']).toMatch(/^text\/event-stream/);
    expect(dataOf(direct.text).length).toBeGreaterThan(10);
    expect(dataOf(through.text)).toEqual(dataOf(direct.text));
    expect(isTerminated(eventsOf(through.text))).toBe(true);
    // Nothing but chunks and their places.
    expect(eventsOf(through.text).every(({ event }) => event === undefined)).toBe(true);
  });

  it.each(shapes)('as a whole: %s', async (model) => {
    const body = chat(model, { tools });
    const [direct, through] = await Promise.all([
      complete(fleet.primary.url, body).ended,
      complete(fleet.url, body).ended,
    ]);
    expect(through.headers['content-type']).toBe(direct.headers['content-type']);
    expect(withoutIdentity(through.text)).toBe(withoutIdentity(direct.text));
  });

  it('as the events of a job, and over a WebSocket', async () => {
    const model = 'healthy:tokens=12,vendor=1';
    const body = chat(model, withUsage);
    const direct = dataOf((await complete(fleet.primary.url, body).ended).text).slice(0, -1);

    const id = await createJob(fleet.url, body);
    const events = eventsOf(withoutIdentity((await readEvents(fleet.url, id).ended).text));
    expect(events.filter(({ event }) => event === 'chunk').map(({ data }) => data)).toEqual(direct);

    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', body });
    await socket.next(({ type }) => type === 'done');
    const texts = socket.texts.filter((text) => text.startsWith('{"type":"chunk"'));
    const data = texts.map((text) => withoutIdentity(text.slice(text.indexOf('"data":') + 7, -1)));
    expect(data).toEqual(direct);
    await socket.close();
  });

  it('as a whole that is spread over many lines', async () => {
    const { headers, text } = await complete(fleet.url, chat('pretty-whole')).ended;
    expect(headers['content-type']).toBe('application/json');
    expect(text).toBe(prettyAnswer);
  });

  it('as a stream whose events are spread over many lines, now on one each', async () => {
    const { text } = await stream(fleet.url, 'pretty-stream').ended;
    const events = eventsOf(text);
    const oneLine = (chunk: string) => chunk.replaceAll('\n', '');
    expect(events.map(({ data }) => data)).toEqual([
      oneLine(prettyChunk('{ "role": "assistant", "content": "a\\nb" }', 'null')),
      oneLine(prettyChunk('{}', '"stop"')),
      '[DONE]',
    ]);
    expect(text.split('\n').filter((line) => line.startsWith('data:'))).toHaveLength(3);
  });

  it('as a stream that its provider answered as a whole', async () => {
    const body = chat('pretty-whole', { stream: true });
    const plain = eventsOf((await complete(fleet.url, body).ended).text);
    expect(isTerminated(plain)).toBe(true);
    expect(contentOf(plain)).toBe('line\nbreak');
    expect(plain[0]?.data).toContain('9007199254740993');

    const id = await createJob(fleet.url, body);
    const events = eventsOf((await readEvents(fleet.url, id).ended).text);
    const chunks = events.filter(({ event }) => event === 'chunk').map(({ data }) => data);
    expect(chunks).toEqual(plain.slice(0, -1).map(({ data }) => data));
    const { text } = await open(`${fleet.url}/v1/jobs/${id}`).ended;
    const message = { role: 'assistant', content: 'line\nbreak' };
    expect(JSON.parse(text)).toMatchObject({ result: { choices: [{ message }] } });
  });

  it('as a whole in a job, in one chunk that says the same', async () => {
    const id = await createJob(fleet.url, chat('pretty-whole'));
    const events = eventsOf((await readEvents(fleet.url, id).ended).text);
    const chunk = events.find(({ event }) => event === 'chunk');
    expect(JSON.parse(chunk?.data ?? '')).toEqual(JSON.parse(prettyAnswer));
    expect(chunk?.data).toContain('9007199254740993');
  });
});

describe('an answer that its provider spells unlike OpenAI', () => {
  type Chunk = {
    id: string;
    created: number;
    model: string;
    usage?: unknown;
    choices: {
      delta: {
        role?: string;
        tool_calls?: {
          index: number;
          id?: string;
          function: { name?: string; arguments: string };
        }[];
      };
    }[];
  };

  /** As OpenAI's SDK for Python joins deltas: by index, and texts that come twice are there twice. */
  function callsOf(chunks: Chunk[]) {
    const calls: { id: string; type: string; function: { name: string; arguments: string } }[] = [];
    const pieces = chunks.flatMap(({ choices }) =>
      choices.flatMap(({ delta }) => delta.tool_calls ?? []),
    );
    for (const { index, id = '', function: piece } of pieces) {
      const call = (calls[index] ??= {
        id: '',
        type: 'function',
        function: { name: '', arguments: '' },
      });
      call.id += id;
      call.function.name += piece.name ?? '';
      call.function.arguments += piece.arguments;
    }
    return calls;
  }

  it('is the same to a plain stream, to a job and over a WebSocket', async () => {
    const body = chat('odd-stream', { stream: true });
    const plain = eventsOf((await complete(fleet.url, body).ended).text);
    expect(isTerminated(plain)).toBe(true);
    const chunks = plain.slice(0, -1).map(({ data }) => JSON.parse(data) as Chunk);
    expect(callsOf(chunks)).toEqual(oddCalls);
    expect(chunks.map(({ id, created, model }) => [id, created, model])).toEqual(
      chunks.map(() => ['chatcmpl-1', 1, 'm']),
    );
    const roles = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.role));
    expect(roles.filter((role) => role !== undefined)).toEqual(['assistant']);
    expect(chunks.filter((chunk) => 'usage' in chunk)).toEqual([]);

    const id = await createJob(fleet.url, body);
    const events = eventsOf((await readEvents(fleet.url, id).ended).text);
    const data = events.filter(({ event }) => event === 'chunk').map((event) => event.data);
    expect(data).toEqual(plain.slice(0, -1).map((event) => event.data));
    const { text } = await open(`${fleet.url}/v1/jobs/${id}`).ended;
    const { result } = JSON.parse(text) as { result: { choices: { message: object }[] } };
    expect(result.choices[0]?.message).toMatchObject({
      content: 'Let me see.',
      tool_calls: oddCalls,
    });

    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', body });
    await socket.next(({ type }) => type === 'done');
    const frames = socket.texts.filter((frame) => frame.startsWith('{"type":"chunk"'));
    expect(frames.map((frame) => frame.slice(frame.indexOf('"data":') + 7, -1))).toEqual(data);
    await socket.close();
  });
});

describe('a usage beside the last finish_reason', () => {
  const usagesIn = (data: readonly string[]) =>
    data
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as { choices: unknown[]; usage?: object | null })
      .filter(({ usage }) => usage)
      .map(({ choices, usage }) => ({ choices, usage }));

  it('reaches only those who asked, once and alone, and the job has it', async () => {
    const plain = chat(usageAtFinish, { stream: true });
    const asking = chat(usageAtFinish, withUsage);
    const streamed = async (body: object) =>
      usagesIn(dataOf((await complete(fleet.url, body).ended).text));
    expect(await streamed(plain)).toEqual([]);
    const [told] = await streamed(asking);
    expect(told).toMatchObject({ choices: [], usage: { completion_tokens: expect.any(Number) } });
    expect(await streamed(asking)).toEqual([told]);

    for (const [body, shown] of [
      [plain, []],
      [asking, [told]],
    ] as const) {
      const id = await createJob(fleet.url, body);
      const events = eventsOf((await readEvents(fleet.url, id).ended).text);
      const chunks = events.filter(({ event }) => event === 'chunk').map(({ data }) => data);
      expect(usagesIn(chunks)).toEqual(shown);
      const done = events.find(({ event }) => event === 'done');
      expect(JSON.parse(done?.data ?? '')).toMatchObject({ usage: told?.usage });
      const { text } = await open(`${fleet.url}/v1/jobs/${id}`).ended;
      expect(JSON.parse(text)).toMatchObject({
        result: { usage: told?.usage },
        attempts: [{ usage: told?.usage }],
      });

      const socket = await openSocket(fleet.url);
      socket.send({ type: 'create', body });
      await socket.next(({ type }) => type === 'done');
      const frames = socket.texts.filter((frame) => frame.startsWith('{"type":"chunk"'));
      const sent = frames.map((frame) => frame.slice(frame.indexOf('"data":') + 7, -1));
      expect(usagesIn(sent)).toEqual(shown);
      await socket.close();
    }
  });
});

describe('characters of several bytes', () => {
  it('arrive whole, wherever the packets are split on both ways', async () => {
    const events = eventsOf(
      (await stream(fleet.url, 'healthy:tokens=12,unicode=1,bytes=1').ended).text,
    );
    expect(contentOf(events)).toBe(expectedText({ tokens: 12, unicode: 1 }));
  });
});
