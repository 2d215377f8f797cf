export type Period = { name: string; title: string; seconds: number };

/** The periods that pages offer. */
export const periods: readonly Period[] = [
  { name: '15m', title: '15 min', seconds: 900 },
  { name: '1h', title: '1 h', seconds: 3600 },
  { name: '24h', title: '24 h', seconds: 86_400 },
  { name: '7d', title: '7 days', seconds: 604_800 },
  { name: '30d', title: '30 days', seconds: 2_592_000 },
];

export const periodOf = (name: string): Period =>
  periods.find((period) => period.name === name) ??
  periods.find((period) => period.name === '24h') ?? {
    name: '24h',
    title: '24 h',
    seconds: 86_400,
  };
