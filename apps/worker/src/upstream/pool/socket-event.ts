import type { EventEmitter } from 'node:events';

/** An emitter that can be destroyed. */
export type Destroyable = EventEmitter & { destroy(): unknown };

/**
 * Waits for an event of a socket. Rejects with its error, with `ECONNRESET` if it closes without one, or with
 * the signal's reason; then the socket is destroyed.
 */
export function onceEvent(it: Destroyable, event: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      it.off(event, onEvent).off('error', onError).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (error: Error): void => {
      settle(() => reject(error));
      it.destroy();
    };
    const onEvent = () => settle(resolve);
    const onError = (error: Error) => fail(error);
    const onClose = () => fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    const onAbort = () => fail(signal.reason as Error);
    it.once(event, onEvent).once('error', onError).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
