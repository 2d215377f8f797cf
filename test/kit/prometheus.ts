/* Parses Prometheus' text format as strictly as Prometheus does. */

export type Sample = { name: string; labels: Record<string, string>; value: number };

const family = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/;
const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/gy;
const types = new Set(['counter', 'gauge', 'histogram', 'summary']);
const numeric = /^([+-]?(\d+(\.\d+)?(e[+-]?\d+)?|inf)|nan)$/i;

/** Every sample of a page. Throws at the first thing that Prometheus would reject. */
export function parsePrometheus(text: string): Sample[] {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const typed = new Map<string, string>();
  const seen = new Set<string>();
  const samples: Sample[] = [];
  let current = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, keyword, name = '', rest = ''] = family.exec(line) ?? [];
    if (keyword === 'TYPE') {
      if (typed.has(name)) throw new Error(`a second TYPE: ${line}`);
      if (!types.has(rest)) throw new Error(`an unknown type: ${line}`);
      typed.set(name, rest);
      current = name;
    }
    if (keyword !== undefined) continue;
    const one = parseSample(line);
    const isPart = /^(histogram|summary)$/.test(typed.get(current) ?? '');
    const base = isPart ? one.name.replace(/_(bucket|sum|count)$/, '') : one.name;
    if (base !== current) throw new Error(`outside of its family ${current}: ${line}`);
    const series = `${one.name} ${JSON.stringify(Object.entries(one.labels).map(String).sort())}`;
    if (seen.has(series)) throw new Error(`a second time: ${line}`);
    seen.add(series);
    samples.push(one);
  }
  return samples;
}

function parseSample(line: string): Sample {
  const [, name = '', inner = '', value = ''] = sample.exec(line) ?? [];
  if (name === '' || !numeric.test(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  let end = 0;
  for (let match = label.exec(inner); match; match = label.exec(inner)) {
    labels[match[1] ?? ''] = match[2] ?? '';
    end = label.lastIndex;
  }
  if (end !== inner.length) throw new Error(`no labels: ${line}`);
  return { name, labels, value: toNumber(value) };
}

const toNumber = (text: string): number =>
  /inf/i.test(text) ? Number(text.replace(/inf/i, 'Infinity')) : Number(text);

/** The sum of a metric's samples with these labels. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string> = {},
): number {
  return samples
    .filter((one) => one.name === name)
    .filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    .reduce((total, { value }) => total + value, 0);
}
