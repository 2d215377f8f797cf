import { connect } from 'node:net';

/* The two commands that the supervisor sends to its own Redis, implemented here because a client takes 26 MB. */

/** `loading`: it reads its data. `refused`: it answers with a permanent error. */
export type PingAnswer =
  | { readonly kind: 'ready' | 'loading' | 'no answer' }
  | { readonly kind: 'refused'; readonly message: string };

/** Whether the Redis on a socket is ready. `no answer`: no server listens there, or no reply came in time. */
export async function pingRedis(path: string, timeoutMs: number): Promise<PingAnswer> {
  const { reply } = await send(path, 'PING', { timeoutMs, until: 'reply' });
  if (reply === undefined) return { kind: 'no answer' };
  if (reply.startsWith('+PONG')) return { kind: 'ready' };
  if (reply.startsWith('-LOADING')) return { kind: 'loading' };
  return { kind: 'refused', message: reply.replace(/^-/, '') };
}

/** Ends the Redis on a socket, with its append-only file complete, and waits until it has ended. */
export async function shutdownRedis(
  path: string,
  timeoutMs: number,
): Promise<'stopped' | 'nothing there' | 'still there'> {
  // A successful SHUTDOWN has no reply: the connection ends with the process.
  const { ending } = await send(path, 'SHUTDOWN', { timeoutMs, until: 'close' });
  if (ending === 'timeout') return 'still there';
  return ending === 'closed' ? 'stopped' : 'nothing there';
}

type Sent = {
  /** The first line of the reply, without its line end. */
  readonly reply: string | undefined;
  readonly ending: 'reply' | 'closed' | 'not connected' | 'timeout';
};

function send(
  path: string,
  command: string,
  { timeoutMs, until }: { timeoutMs: number; until: 'reply' | 'close' },
): Promise<Sent> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let isConnected = false;
    let text = '';
    const end = (ending: Sent['ending']) => {
      clearTimeout(timer);
      socket.destroy();
      const newline = text.indexOf('\r\n');
      resolve({ reply: newline === -1 ? undefined : text.slice(0, newline), ending });
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs);
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      isConnected = true;
      socket.write(`${command}\r\n`);
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (until === 'reply' && text.includes('\r\n')) end('reply');
    });
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => end(isConnected ? 'closed' : 'not connected'));
  });
}
