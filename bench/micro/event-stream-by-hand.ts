/**
 * The event-stream parser that we did not take, kept so that the choice can be measured again:
 * docs/decisions/2026-11-20-sse-parser.md. It takes what eventsource-parser takes, except the
 * bounds, and its fast path does nothing per line but one indexOf and one slice.
 */

export interface ByHandEvent {
  event: string | undefined;
  data: string;
  id: string | undefined;
}

const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const BOM = 0xfeff;

export function createParserByHand(onEvent: (event: ByHandEvent) => void) {
  let heldBytes: Buffer | undefined;
  let heldText = '';
  let atStart = true;
  let skipLineFeed = false;
  let name: string | undefined;
  let id: string | undefined;
  let data: string | undefined;

  /** One decode per packet; only a packet that ends inside a code point costs more. */
  function decode(bytes: Buffer): string {
    const whole = heldBytes ? Buffer.concat([heldBytes, bytes]) : bytes;
    const end = lastBoundary(whole);
    heldBytes = end < whole.length ? Buffer.from(whole.subarray(end)) : undefined;
    return whole.toString('utf8', 0, end);
  }

  function push(bytes: Buffer): void {
    let text = decode(bytes);
    if (text === '') return;
    if (atStart) {
      atStart = false;
      if (text.charCodeAt(0) === BOM) text = text.slice(1);
    }
    if (skipLineFeed) {
      skipLineFeed = false;
      if (text.charCodeAt(0) === LF) text = text.slice(1);
    }
    if (heldText !== '') {
      text = heldText + text;
      heldText = '';
    }
    if (text.includes('\r')) takeLines(text);
    else takeFast(text);
  }

  function takeFast(text: string): void {
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      if (end === -1) break;
      const wholeEvent =
        data === undefined &&
        text.charCodeAt(end + 1) === LF &&
        text.startsWith('data:', start) &&
        name === undefined &&
        id === undefined;
      if (wholeEvent) {
        const from = text.charCodeAt(start + 5) === SPACE ? start + 6 : start + 5;
        onEvent({ event: undefined, data: text.slice(from, end), id: undefined });
        start = end + 2;
        continue;
      }
      takeLine(text, start, end);
      start = end + 1;
    }
    if (start < text.length) heldText = start === 0 ? text : text.slice(start);
  }

  function takeLines(text: string): void {
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code !== LF && code !== CR) continue;
      takeLine(text, start, at);
      if (code === CR) {
        if (at + 1 === text.length) skipLineFeed = true;
        else if (text.charCodeAt(at + 1) === LF) at++;
      }
      start = at + 1;
    }
    heldText = text.slice(start);
  }

  function takeLine(text: string, start: number, end: number): void {
    if (start === end) {
      if (data !== undefined) onEvent({ event: name, data, id });
      name = undefined;
      id = undefined;
      data = undefined;
      return;
    }
    if (text.charCodeAt(start) === COLON) return;
    const line = text.slice(start, end);
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const from =
      colon === -1 ? line.length : colon + (line.charCodeAt(colon + 1) === SPACE ? 2 : 1);
    const value = line.slice(from);
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
    else if (field === 'event') name = value === '' ? undefined : value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  }

  return { push };
}

/** Where the last code point that is not complete begins, else the length. */
function lastBoundary(bytes: Buffer): number {
  const last = bytes.length - 1;
  if (last < 0 || (bytes[last] ?? 0) < 0x80) return bytes.length;
  for (let at = last; at >= 0 && at > last - 4; at--) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) return bytes.length;
    if (byte < 0xc0) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return at + needs > bytes.length ? at : bytes.length;
  }
  return bytes.length;
}
