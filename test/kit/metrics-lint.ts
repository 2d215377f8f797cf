/*
 * The rules of `promtool check metrics` (Prometheus' promlint) for a page of the text format, because
 * promtool is not installed everywhere.
 */

/** Units that are not Prometheus' base units, with their replacements. */
const derivedUnits = new Set(
  (
    'milliseconds microseconds nanoseconds minutes hours days weeks kilobytes megabytes gigabytes ' +
    'kibibytes mebibytes gibibytes bits percent fahrenheit kelvin milliamperes millivolts'
  ).split(' '),
);
const abbreviatedUnits = new Set('s ms us ns sec b kb mb gb tb m h d'.split(' '));
const types = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped']);

type Family = { type: string; help: string; series: { name: string; labels: string[] }[] };

/** The problems of a page, one line for each; empty if there are none. */
export function lintMetrics(page: string): string[] {
  const problems: string[] = [];
  const families = new Map<string, Family>();
  const familyOf = (name: string): Family => {
    const known = families.get(name);
    if (known) return known;
    const family: Family = { type: 'untyped', help: '', series: [] };
    families.set(name, family);
    return family;
  };
  const seen = new Set<string>();
  for (const line of page.split('\n')) {
    if (line === '') continue;
    const [, comment, named = '', rest = ''] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (comment === 'HELP') familyOf(named).help = rest;
    else if (comment === 'TYPE' && familyOf(named).series.length > 0)
      problems.push(`${named}: its type comes behind its series`);
    else if (comment === 'TYPE') familyOf(named).type = rest;
    else if (!line.startsWith('#')) {
      const [, name = '', labels = ''] = /^([^{\s]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
      if (name === '') problems.push(`no series: ${line}`);
      if (seen.has(`${name}{${labels}}`)) problems.push(`${name}: twice with {${labels}}`);
      seen.add(`${name}{${labels}}`);
      const base = name.replace(/_(bucket|sum|count)$/, '');
      const isPart = ['histogram', 'summary'].includes(families.get(base)?.type ?? '');
      const labelNames = [...labels.matchAll(/(?:^|,)(\w+)="(?:[^"\\]|\\.)*"/g)];
      familyOf(isPart ? base : name).series.push({
        name,
        labels: labelNames.map(([, label = '']) => label),
      });
    }
  }
  for (const [name, family] of families) {
    problems.push(...lintFamily(name, family).map((problem) => `${name}: ${problem}`));
  }
  return problems;
}

function* lintFamily(name: string, { type, help, series }: Family): Generator<string, void> {
  if (help === '') yield 'no help text';
  if (type === 'counter' && !name.endsWith('_total')) yield 'a counter should end in _total';
  if (type !== 'counter' && name.endsWith('_total')) yield `a ${type} should not end in _total`;
  const isHistogram = type === 'histogram';
  const isSum = isHistogram || type === 'summary';
  if (!isHistogram && name.endsWith('_bucket')) yield `a ${type} should not end in _bucket`;
  if (!isSum && /_(count|sum)$/.test(name)) yield `a ${type} should not end in _count or _sum`;
  for (const { labels } of series) {
    if (!isHistogram && labels.includes('le')) yield `a ${type} should have no label le`;
    if (type !== 'summary' && labels.includes('quantile'))
      yield `a ${type} should have no label quantile`;
    for (const label of labels)
      if (/[a-z][A-Z]/.test(label)) yield `the label ${label} is in camelCase`;
  }
  if (name.includes(':')) yield 'colons are for recording rules';
  if (/[a-z][A-Z]/.test(name)) yield 'the name is in camelCase';
  const words = name.toLowerCase().split('_');
  const typed = words.find((word) => types.has(word));
  if (typed) yield `the name has the type ${typed} in it`;
  const unit = words.find((word) => derivedUnits.has(word));
  if (unit) yield `${unit} is no base unit`;
  const short = words.find((word) => abbreviatedUnits.has(word));
  if (short) yield `the unit ${short} is abbreviated`;
}
