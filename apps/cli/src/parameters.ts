import { InvalidArgumentError } from 'commander';
import { parseDuration } from '@millrace/shared/config/units';

/* Readers of arguments. Each throws an error that commander prints with the name of the argument. */

export function readDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Expected a duration such as 10s or 5m.');
  return ms;
}

/** A time for the API: as it was given, or the time so long ago. */
export function readTime(text: string): string {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return new Date(Date.now() - agoMs).toISOString();
  if (/^\d+(\.\d+)?$/.test(text) || !Number.isNaN(Date.parse(text))) return text;
  throw new InvalidArgumentError(
    'Expected a time such as 2026-11-30T08:00:00Z, or a time ago such as 24h.',
  );
}

/** The end of a key: a time, or a duration from now on. */
export function readExpiry(text: string): string {
  const inMs = parseDuration(text);
  return inMs === undefined ? readTime(text) : new Date(Date.now() + inMs).toISOString();
}

/** A limit or a weight; the server knows its bounds. */
export function readLimit(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

/** An amount in USD; the server knows its bounds. */
export function readMoney(text: string): number {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(text)) {
    throw new InvalidArgumentError('Expected an amount in USD such as 50 or 12.50.');
  }
  return Number(text);
}

/** `0` or a duration, as the API takes it. */
export function readGrace(text: string): string {
  if (text !== '0') readDuration(text);
  return text;
}

export function readList(text: string): string[] {
  return text.split(',').map((word) => word.trim());
}

export function readCount(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 1000) {
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000.');
  }
  return value;
}

const statuses = ['completed', 'failed', 'cancelled', 'rescued', 'error'];

/** Some of them, separated by commas; one with a `-` before it is excluded. */
export function readStatus(text: string): string {
  const words = text.split(',').map((word) => word.replace(/^-/, ''));
  if (!words.every((word) => statuses.includes(word))) {
    throw new InvalidArgumentError(`Expected some of ${statuses.join(', ')}.`);
  }
  return text;
}

const groups = ['key', 'user', 'model', 'provider', 'status', 'hour', 'day'];

export function readGroups(text: string): string {
  const unknown = text.split(',').find((word) => !groups.includes(word));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`Expected some of ${groups.join(', ')}, separated by commas.`);
  }
  return text;
}

export function readPort(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535) {
    throw new InvalidArgumentError('Expected a port from 0 to 65535.');
  }
  return value;
}
