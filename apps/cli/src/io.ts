/** What a command may use of its process. */
export type Io = {
  env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the operator interrupts a command, or its terminal closes. */
  signal: AbortSignal;
  out(text: string): void;
  /** As `out`, and waits until the reader of a long output has taken it. */
  pour(text: string): Promise<void>;
  err(text: string): void;
};

export const exitCodes = {
  /** The answer is no: not ready, a problem was found, the request failed, no ingress answers. */
  failed: 1,
  /** The arguments are wrong. */
  usage: 2,
  /** The config is wrong (EX_CONFIG), as with the roles. */
  config: 78,
  /** Interrupted by SIGINT, SIGTERM or SIGHUP. */
  interrupted: 130,
} as const;

/** Ends a command with a message for the operator. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
