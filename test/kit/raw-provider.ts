import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A provider that answers every request with the same bytes, for answers that the simulator does not make. */
export type RawProvider = {
  /** Including the path of the API's version, for `baseUrl` of a provider. */
  readonly baseUrl: string;
  /** The POST requests that it got, oldest first. */
  readonly received: readonly { path: string; headers: IncomingHttpHeaders; body: string }[];
  close(): Promise<void>;
};

export type RawAnswer = {
  contentType: string;
  body: string | Buffer;
  status?: number;
  /** A request that arrives while this is true gets no answer. */
  isSilent?: () => boolean;
};

/** `answers`: by model, the content type and the body. Anything else gets a 404. Requests are read as Latin-1 if they are forms. */
export async function startRawProvider(
  answers: Readonly<Record<string, RawAnswer>>,
): Promise<RawProvider> {
  const received: { path: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    const isForm = request.headers['content-type']?.startsWith('multipart/') === true;
    request.setEncoding(isForm ? 'latin1' : 'utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      // An active check: it has no list of models.
      if (request.method === 'GET') {
        response.writeHead(404).end();
        return;
      }
      received.push({ path: request.url ?? '', headers: request.headers, body: text });
      // Gemini's format has the model in the path.
      const inPath = /\/models\/([^:]+):/.exec(request.url ?? '')?.[1];
      const inForm = /name="model"\r\n\r\n(.*)\r\n/.exec(text)?.[1];
      const inBody = isForm ? inForm : (JSON.parse(text) as { model?: string }).model;
      const answer = answers[inBody ?? inPath ?? ''];
      if (answer?.isSilent?.()) return;
      if (answer) response.writeHead(answer.status ?? 200, { 'content-type': answer.contentType });
      else response.writeHead(404);
      response.end(answer?.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
