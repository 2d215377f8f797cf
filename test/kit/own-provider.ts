import { createServer } from 'node:http';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

/** A provider of a test's own, for behaviour below the answers that the simulator can play. */
export type OwnProvider = {
  readonly port: number;
  /** Requests for an answer so far, oldest first; those for the list of models are answered but not kept. */
  readonly requests: readonly OwnRequest[];
  /** Connections accepted in total. */
  readonly connections: number;
  close(): Promise<void>;
};

export type OwnRequest = {
  headers: IncomingHttpHeaders;
  body: { model: string; stream?: boolean };
};

export type OwnReply = { status?: number; headers?: Record<string, string> };

export type OwnProviderOptions = {
  tls?: { cert: string; key: string };
  /** Its answer; without a status one short complete answer. @defaultValue always that */
  reply?(request: OwnRequest): OwnReply;
  /** Milliseconds after which an idle connection is closed, without an announcement; absent: never. */
  closesAfterMs?: number;
};

/** The text of its answer. */
export const OWN_TEXT = 'all is well';

export async function startOwnProvider(options: OwnProviderOptions = {}): Promise<OwnProvider> {
  const { tls, reply = (): OwnReply => ({}), closesAfterMs } = options;
  const requests: OwnRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;

  const listener: RequestListener = (incoming, response) => {
    let text = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (part: string) => (text += part));
    incoming.on('end', () => {
      if (incoming.method === 'GET') {
        response.end('{"object":"list","data":[]}');
        return;
      }
      const request = { headers: incoming.headers, body: JSON.parse(text) as OwnRequest['body'] };
      requests.push(request);
      const { status = 200, headers = {} } = reply(request);
      const isStream = status === 200 && request.body.stream === true;
      const type = isStream ? 'text/event-stream' : 'application/json';
      response.writeHead(status, { 'content-type': type, ...headers });
      response.end(status === 200 ? answerTo(request) : refusal(status));
      if (closesAfterMs !== undefined) closeWhenIdle(incoming.socket, closesAfterMs);
    });
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Closes it, unless another request arrives before. */
function closeWhenIdle(socket: Socket, afterMs: number): void {
  const timer = setTimeout(() => {
    socket.off('data', stay);
    socket.destroy();
  }, afterMs);
  const stay = () => clearTimeout(timer);
  socket.once('data', stay);
}

function answerTo({ body: { model, stream } }: OwnRequest): string {
  const named = { id: 'own-1', created: 1, model };
  if (stream !== true) {
    const message = { role: 'assistant', content: OWN_TEXT };
    const choices = [{ index: 0, message, finish_reason: 'stop' }];
    return JSON.stringify({ ...named, object: 'chat.completion', choices });
  }
  const chunk = (delta: object, finish_reason: string | null) => {
    const choices = [{ index: 0, delta, finish_reason }];
    return `data: ${JSON.stringify({ ...named, object: 'chat.completion.chunk', choices })}\n\n`;
  };
  const said = chunk({ role: 'assistant', content: OWN_TEXT }, null);
  return `${said}${chunk({}, 'stop')}data: [DONE]\n\n`;
}

const refusal = (status: number): string =>
  JSON.stringify({ error: { message: `status ${status}`, type: 'test', param: null, code: null } });
