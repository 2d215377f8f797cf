import { Counter, Histogram, Registry } from '@millrace/shared/metrics';
import { describe, expect, it } from 'vitest';
import { unite } from './fleet-metrics.ts';

/** What a process with this name sends: through JSON, as over Redis. */
async function sent(worker: string, fill: (registers: Registry[]) => void): Promise<unknown[]> {
  const registry = new Registry();
  registry.setDefaultLabels({ worker });
  fill([registry]);
  return JSON.parse(JSON.stringify(await registry.getMetricsAsJSON())) as unknown[];
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
  aggregator: 'sum',
  values: [value],
  ...more,
});

const samples = (text: string) => text.split('\n').filter((line) => /^[a-z]/.test(line));

describe('the metrics of many processes', () => {
  it('are one page, with each series by itself', async () => {
    const text = await unite([await sent('w1', counter(1)), await sent('w2', counter(2))]);
    expect(text).toBe(
      '# HELP c_total h\n# TYPE c_total counter\n' +
        'c_total{kind="a",worker="w1"} 1\nc_total{kind="a",worker="w2"} 2\n',
    );
  });

  it('keep every line of a histogram', async () => {
    const fill = (registers: Registry[]) =>
      new Histogram({ name: 'h', help: 'h', buckets: [1, 2], registers }).observe(1.5);
    expect(samples(await unite([await sent('w1', fill)]))).toEqual([
      'h_bucket{le="1",worker="w1"} 0',
      'h_bucket{le="2",worker="w1"} 1',
      'h_bucket{le="+Inf",worker="w1"} 1',
      'h_sum{worker="w1"} 1.5',
      'h_count{worker="w1"} 1',
    ]);
  });

  it.each(['sum', 'average', 'omit', 'made up'])(
    'are not added up, left out or refused for their aggregator: %s',
    async (aggregator) => {
      const text = await unite([[gauge({ aggregator }), gauge({ aggregator, name: 'g2' })]]);
      expect(samples(text)).toEqual(['g 1', 'g2 1']);
    },
  );

  it('have a series once, where two processes send the same', async () => {
    const second = gauge({}, { value: 2, labels: {} });
    expect(samples(await unite([[gauge({})], [second]]))).toEqual(['g 1']);
  });

  it('escape what a label may have in it', async () => {
    const text = await unite([[gauge({}, { value: 1, labels: { model: 'a"b\\c\nd' } })]]);
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
    ['a line name that is none', gauge({}, { value: 1, labels: {}, metricName: 'a\nb' })],
  ])('pass over %s', async (_, metric) => {
    expect(samples(await unite([[gauge({ name: 'fine' })], [metric]]))).toEqual(['fine 1']);
  });
});
