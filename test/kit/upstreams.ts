import { call, jsonOf } from './http.ts';
import { parsePrometheus, sumOf } from './prometheus.ts';

/** A worker's upstreams at /admin/upstreams: the part that tests use. */
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

/** The workers' reports. An ingress asks the workers for them, and reuses the answers for 250 ms. */
export async function upstreamsOf(url: string, headers = {}): Promise<UpstreamsRow[]> {
  const { workers } = jsonOf(await call(`${url}/admin/upstreams`, { headers })) as {
    workers: UpstreamsRow[];
  };
  return workers;
}

/** The breaker of a target, as each worker sees it; `unknown` if it was never asked. */
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
  headers = {},
): Promise<number> {
  return sumOf(parsePrometheus((await call(`${url}/metrics`, { headers })).text), name, labels);
}
