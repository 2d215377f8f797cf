import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Clock } from './clock.ts';
import { FaultMemory } from './fault-memory.ts';
import type { LoggedRequest, WaitOptions } from './request-log.ts';
import { RequestLog } from './request-log.ts';
import { Service } from './service.ts';

export interface SimulatorOptions {
  /** @defaultValue '127.0.0.1' */
  readonly host?: string;
  /** @defaultValue 0, any free port */
  readonly port?: number;
  /** Shown in `x-simulated-provider`. @defaultValue 'simulated' */
  readonly name?: string;
  /** If set, any other key gets 401. */
  readonly apiKey?: string;
  /** Bounds of the request log. @defaultValue 10000 requests, 64 MiB of bodies */
  readonly log?: { readonly requests?: number; readonly bytes?: number };
}

export interface Simulator extends AsyncDisposable {
  /** Without a path: `http://host:port`. */
  readonly url: string;
  readonly port: number;
  readonly name: string;
  /** The newest requests, oldest first. */
  readonly requests: readonly LoggedRequest[];
  readonly events: RequestLog['events'];
  /** Connections open now, and accepted in all. */
  readonly connections: { readonly open: number; readonly total: number };
  waitFor(
    predicate: (request: LoggedRequest) => boolean,
    options?: WaitOptions,
  ): Promise<LoggedRequest>;
  /**
   * Ends all waits, of current and of later answers, until `reset`: a test whose slow streams have served
   * their purpose gets their ends at once.
   */
  hurry(): void;
  /** Clears the request log, the fault counts, and `hurry`. */
  reset(): void;
  /** Ends every connection; idempotent. */
  close(): Promise<void>;
}

// Longer than clients keep idle connections, so that none is closed during a new request.
const KEEP_ALIVE_MS = 120_000;
const BACKLOG = 4096;

/** Starts a simulated provider. Rejects if it cannot listen on the address. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const provider = new Provider(options);
  await provider.listen(options.host ?? '127.0.0.1', options.port ?? 0);
  return provider;
}

class Provider implements Simulator {
  readonly name: string;
  readonly #log: RequestLog;
  readonly #clock = new Clock();
  readonly #faults = new FaultMemory();
  readonly #service: Service;
  readonly #sockets = new Map<Socket, number>();
  readonly #server = createServer({ noDelay: true, keepAliveTimeout: KEEP_ALIVE_MS });
  #accepted = 0;
  #closing: Promise<void> | undefined;
  #address = { host: '', port: 0 };

  constructor({ name = 'simulated', apiKey, log }: SimulatorOptions) {
    this.name = name;
    this.#log = new RequestLog(log?.requests ?? 10_000, log?.bytes ?? 64 * 1024 * 1024);
    this.#service = new Service({
      name,
      apiKey,
      log: this.#log,
      clock: this.#clock,
      faults: this.#faults,
      socketNumber: (socket) => this.#sockets.get(socket) ?? 0,
    });
    this.#server.on('request', (request, response) => this.#service.receive(request, response));
    this.#server.on('connection', (socket) => {
      this.#accepted += 1;
      this.#sockets.set(socket, this.#accepted);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    const { host, port } = this.#address;
    return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  }
  get port(): number {
    return this.#address.port;
  }
  get requests(): readonly LoggedRequest[] {
    return this.#log.requests;
  }
  get events(): RequestLog['events'] {
    return this.#log.events;
  }
  get connections(): { open: number; total: number } {
    return { open: this.#sockets.size, total: this.#accepted };
  }

  waitFor(
    predicate: (request: LoggedRequest) => boolean,
    options?: WaitOptions,
  ): Promise<LoggedRequest> {
    return this.#log.waitFor(predicate, options);
  }

  hurry(): void {
    this.#clock.hurry();
  }

  reset(): void {
    this.#clock.relax();
    this.#log.clear();
    this.#faults.forget();
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: BACKLOG }, resolve);
    });
    // Node returns an object for every TCP address; a string is a pipe's, which is never used here.
    this.#address = { host, port: (this.#server.address() as AddressInfo).port };
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#log.endAll();
      this.#server.closeAllConnections();
      this.#clock.close();
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
