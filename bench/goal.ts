import { number } from './table.ts';

/** Something that Millrace is to reach. A verdict informs; it fails no run. */
export interface Goal {
  text: string;
  verdict: 'met' | 'missed' | 'not measured';
  /** What was compared, in words; empty when not measured. */
  evidence: string;
}

export function goalLine({ text, verdict, evidence }: Goal): string {
  return ['goal', text, verdict, evidence].filter((part) => part !== '').join('  ');
}

/** Not measured where the value is none. */
export function atMost(text: string, value: number, limit: number, unit: string): Goal {
  if (Number.isNaN(value)) return { text, verdict: 'not measured', evidence: '' };
  const evidence = `${number(value, 1)} ${unit}`;
  return { text, verdict: value <= limit ? 'met' : 'missed', evidence };
}
