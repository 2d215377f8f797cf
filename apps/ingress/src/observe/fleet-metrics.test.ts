import { Counter, Gauge, Histogram, Registry } from '@millrace/shared/runtime/metrics';
import { describe, expect, it } from 'vitest';
import { unite } from './fleet-metrics.ts';
import type { ProcessMetrics } from './fleet-metrics.ts';

/** What a process with this name sends: through JSON, as over Redis. */
async function sent(
  worker: string,
  fill: (registers: Registry[]) => void,
): Promise<ProcessMetrics> {
  const registry = new Registry();
  registry.setDefaultLabels({ worker });
  fill([registry]);
  const json = JSON.stringify(await registry.getMetricsAsJSON());
  return { worker, metrics: JSON.parse(json) as unknown[] };
}

const counter = (value: number) => (registers: Registry[]) =>
  new Counter({ name: 'c_total', help: 'h', labelNames: ['kind'], registers }).inc(
    { kind: 'a' },
    value,
  );

const gauge = (more: object, value: object = { value: 1, labels: {} }) => ({
  name: 'g',
  help: 'h',
  type: 'gauge',
  values: [value],
  ...more,
});

const samples = (text: string) => text.split('\n').filter((line) => /^[a-z]/.test(line));

describe('the metrics of many processes', () => {
  it('are one page, with each series by itself', async () => {
    const text = await unite([await sent('w1', counter(1)), await sent('w2', counter(2))]);
    expect(text).toBe(
      '# HELP c_total h\n# TYPE c_total counter\n' +
        'c_total{worker="w1",kind="a"} 1\nc_total{worker="w2",kind="a"} 2\n',
    );
  });

  it('keep every line of a histogram', async () => {
    const fill = (registers: Registry[]) =>
      new Histogram({ name: 'h', help: 'h', buckets: [1, 2], registers }).observe(1.5);
    expect(samples(await unite([await sent('w1', fill)]))).toEqual([
      'h_bucket{worker="w1",le="1"} 0',
      'h_bucket{worker="w1",le="2"} 1',
      'h_bucket{worker="w1",le="+Inf"} 1',
      'h_sum{worker="w1"} 1.5',
      'h_count{worker="w1"} 1',
    ]);
  });

  it('are the text of prom-client if there is one process', async () => {
    const registry = new Registry();
    const registers = [registry];
    new Gauge({ name: 'g', help: 'a\\b\nc', registers }).set(-Infinity);
    new Gauge({ name: 'none', help: 'h', labelNames: ['a'], registers });
    counter(1e21)(registers);
    const metrics = await registry.getMetricsAsJSON();
    expect(await unite([{ metrics }])).toBe(await registry.metrics());
  });

  it('are kept apart by their worker, whatever labels they have', async () => {
    const metrics = [gauge({}, { value: 1, labels: { worker: 'somebody' } })];
    const text = await unite([
      { worker: 'w1', metrics },
      { worker: 'w2', metrics },
    ]);
    expect(samples(text)).toEqual(['g{worker="w1"} 1', 'g{worker="w2"} 1']);
  });

  it('escape what a label may have in it', async () => {
    const text = await unite([
      { metrics: [gauge({}, { value: 1, labels: { model: 'a"b\\c\nd' } })] },
    ]);
    expect(samples(text)).toEqual(['g{model="a\\"b\\\\c\\nd"} 1']);
  });

  it.each([
    ['no metric', 'text'],
    ['null', null],
    ['a name that is none', gauge({ name: 'a b' })],
    ['another type of the same name', gauge({ name: 'fine', type: 'counter' })],
    ['an unknown type', gauge({ type: 'curve' })],
    ['no help', gauge({ help: undefined })],
    ['no values', gauge({ values: {} })],
    ['a value that JSON lost', gauge({}, { value: null, labels: {} })],
    ['no labels', gauge({}, { value: 1 })],
    ['a label name that is none', gauge({}, { value: 1, labels: { 'a-b': 'c' } })],
    ['a label that is none', gauge({}, { value: 1, labels: { a: {} } })],
    ['a line of another name', gauge({}, { value: 1, labels: {}, metricName: 'fine' })],
    ['a line name that is none', gauge({}, { value: 1, labels: {}, metricName: 'a\nb' })],
  ])('pass over %s', async (_, metric) => {
    expect(
      samples(
        await unite([{ metrics: [gauge({ name: 'fine' })] }, { worker: 'w', metrics: [metric] }]),
      ),
    ).toEqual(['fine 1']);
  });
});
