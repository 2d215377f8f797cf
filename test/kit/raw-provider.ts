import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A provider that answers every request with the same bytes, for answers that the simulator does not make. */
export type RawProvider = {
  /** Including the path of the API's version, for `baseUrl` of a provider. */
  readonly baseUrl: string;
  /** The POST requests that it got, oldest first. */
  readonly received: readonly { headers: IncomingHttpHeaders; body: string }[];
  close(): Promise<void>;
};

/** `answers`: by model, the content type and the body. Anything else gets a 404. */
export async function startRawProvider(
  answers: Readonly<Record<string, { contentType: string; body: string }>>,
): Promise<RawProvider> {
  const received: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      // An active check: it has no list of models.
      if (request.method === 'GET') {
        response.writeHead(404).end();
        return;
      }
      received.push({ headers: request.headers, body: text });
      // Gemini's format has the model in the path.
      const inPath = /\/models\/([^:]+):/.exec(request.url ?? '')?.[1];
      const { model = inPath ?? '' } = JSON.parse(text) as { model?: string };
      const answer = answers[model];
      if (answer) response.writeHead(200, { 'content-type': answer.contentType });
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
