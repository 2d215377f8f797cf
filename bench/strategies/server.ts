import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A target: `slots` concurrent requests, first come first served; `serviceMs` for each, or as the request says. */
export interface TargetSpec {
  slots: number;
  serviceMs?: number;
}

/** Runs in a separate process: the first message is a list of targets, the reply their ports. */
process.once('message', (specs: TargetSpec[]) => {
  void Promise.all(specs.map(serve)).then((ports) => process.send?.({ ports }));
});
process.once('disconnect', () => process.exit());
process.on('SIGINT', () => {});

async function serve({ slots, serviceMs }: TargetSpec): Promise<number> {
  const line: (() => void)[] = [];
  let free = slots;

  const next = (): void => {
    const start = free > 0 ? line.shift() : undefined;
    if (!start) return;
    free -= 1;
    start();
  };
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      // A health check takes no slot.
      if (request.method !== 'POST') {
        response.end('{"object":"list","data":[]}');
        return;
      }
      // The service time is in the request, so that every dispatcher has the same load.
      const asked = (JSON.parse(text) as { max_tokens?: number }).max_tokens ?? 0;
      line.push(() => {
        setTimeout(() => {
          answer(response);
          free += 1;
          next();
        }, serviceMs ?? asked);
      });
      next();
    });
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1_024, resolve));
  return (server.address() as AddressInfo).port;
}

function answer(response: ServerResponse): void {
  const event = (delta: object, finish: string | null): string => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    const chunk = { id: 'b', object: 'chat.completion.chunk', created: 1, model: 'm', choices };
    return `data: ${JSON.stringify(chunk)}\n\n`;
  };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const said = event({ role: 'assistant', content: 'one' }, null);
  response.end(`${said}${event({}, 'stop')}data: [DONE]\n\n`);
}
