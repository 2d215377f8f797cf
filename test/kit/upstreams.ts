import { call, jsonOf } from './http.ts';
import { parsePrometheus, sumOf } from './prometheus.ts';

/** What a worker tells of its upstreams at /admin/upstreams: the part that tests look at. */
export type UpstreamsRow = {
  name: string;
  process: { pid: number };
  intake: {
    places: number;
    running: number;
    models: Record<string, { allowance: number; waiting: number; avoided: boolean }>;
  };
  upstreams: {
    pools: Record<
      string,
      {
        requests: number;
        connects: number;
        connect_failures: Record<string, number>;
        closed: Record<string, number>;
      }
    >;
    health: {
      workers: number;
      targets: {
        provider: string;
        model: string;
        state: string;
        window: { calls: number; errors: number };
      }[];
    };
    selection: {
      waiting: number;
      keys: Record<string, { index: number; aside_until?: number }[]>;
    };
  };
};

/** Workers report once a second: what they know is here up to that much later. */
export async function upstreamsOf(url: string): Promise<UpstreamsRow[]> {
  const { workers } = jsonOf(await call(`${url}/admin/upstreams`)) as { workers: UpstreamsRow[] };
  return workers;
}

/** The breaker of a target, as each worker sees it; `unknown` where it was never asked. */
export const statesOf = async (url: string, provider: string, model: string): Promise<string[]> =>
  (await upstreamsOf(url)).map(
    ({ upstreams }) =>
      upstreams.health.targets.find((one) => one.provider === provider && one.model === model)
        ?.state ?? 'unknown',
  );

/** Requests of the whole fleet that wait for a target. */
export const waitingAt = async (url: string): Promise<number> =>
  (await upstreamsOf(url)).reduce((sum, { upstreams }) => sum + upstreams.selection.waiting, 0);

/** The sum of a metric's samples at /metrics, whichever process counted. */
export async function metricAt(
  url: string,
  name: string,
  labels: Record<string, string> = {},
): Promise<number> {
  return sumOf(parsePrometheus((await call(`${url}/metrics`)).text), name, labels);
}
