import { nanosPerUsd } from '../domain/budget.ts';

/** Billionths of a USD as a decimal number of USD, as in `0.0042`: exact, without an exponent. */
export function inUsd(cost: number): string {
  const text = (cost / nanosPerUsd).toFixed(9);
  return text.replace(/\.?0+$/, '');
}

/** Billionths of a USD for a sentence: `12.50 USD`, with up to six decimals. */
export function usdText(nanos: number): string {
  const [whole, decimals = ''] = (nanos / nanosPerUsd).toFixed(6).split('.');
  return `${whole}.${decimals.slice(0, 2)}${decimals.slice(2).replace(/0+$/, '')} USD`;
}

/** The highest cap that a request may name, in USD. */
export const highestCapUsd = 1e6;

/**
 * An amount in USD, as a client writes it, in billionths of a USD, rounded down; undefined if it is no number from 0 to
 * `highestCapUsd`.
 */
export function parseUsd(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !usdPattern.test(text)) return undefined;
  const usd = Number(text);
  // Rounded to more digits first: 0.0003 times a billion is 299999.99999999994.
  return usd <= highestCapUsd ? Math.floor(Number((usd * nanosPerUsd).toPrecision(15))) : undefined;
}

const usdPattern = /^\d{1,20}(\.\d{1,20})?(e-?\d{1,2})?$/i;
