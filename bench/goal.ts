import { number } from './table.ts';

/** A goal for Millrace. A missed goal does not fail a run. */
export interface Goal {
  text: string;
  verdict: 'met' | 'missed' | 'not measured';
  /** The compared figures as text; empty if not measured. */
  evidence: string;
}

export function goalLine({ text, verdict, evidence }: Goal): string {
  return ['goal', text, verdict, evidence].filter((part) => part !== '').join('  ');
}

/** Not measured if the value is NaN. */
export function atMost(text: string, value: number, limit: number, unit: string): Goal {
  if (Number.isNaN(value)) return { text, verdict: 'not measured', evidence: '' };
  const evidence = `${number(value, 1)} ${unit}`;
  return { text, verdict: value <= limit ? 'met' : 'missed', evidence };
}
