import { renewalMs } from '@millrace/shared/store/quota/port';
import type { Leases } from '@millrace/shared/store/quota/port';

/** Counts the ingresses of the fleet: while Redis is away, each one grants its share of a key's limits. */
export function countIngresses(
  leases: Pick<Leases, 'take'>,
  name: string,
  isReady: () => boolean,
  onError: (error: unknown) => void,
) {
  let count = 1;
  async function look(): Promise<void> {
    if (!isReady()) return;
    try {
      count = (await leases.take('ingresses', name, Number.MAX_SAFE_INTEGER)).held;
    } catch (error) {
      onError(error);
    }
  }
  void look();
  const timer = setInterval(() => void look(), renewalMs);
  timer.unref();
  return { count: () => count, stop: () => clearInterval(timer) };
}
