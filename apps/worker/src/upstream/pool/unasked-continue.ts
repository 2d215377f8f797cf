/** `#`: any digit. */
const statusLine = 'HTTP/1.# 100';
const headEnd = '\r\n\r\n';

/**
 * Handles a `100 Continue` that was not requested. A client must skip it (RFC 9110, 15.2), but undici treats
 * it as a bad response and closes the connection. It skips other 1xx responses, so the status is changed to
 * 102 in the bytes before undici reads them.
 */
export type UnaskedContinue = {
  /** A response begins with the next byte. */
  expect(): void;
  /** Takes received bytes, split anywhere, and changes them in place. */
  pass(bytes: Uint8Array): void;
};

export function createUnaskedContinue(): UnaskedContinue {
  /**
   * The text that is searched for, and how much of it has matched; undefined after the head of a final
   * response.
   */
  let sought: string | undefined;
  let found = 0;

  function seek(text: string | undefined): void {
    sought = text;
    found = 0;
  }

  function take(bytes: Uint8Array, at: number): void {
    const byte = bytes[at] ?? 0;
    if (sought === statusLine) {
      if (!isMatch(statusLine, found, byte)) seek(undefined);
      else if (++found === statusLine.length) {
        bytes[at] = two;
        seek(headEnd);
      }
      return;
    }
    if (isMatch(headEnd, found, byte)) found += 1;
    else found = byte === carriageReturn ? 1 : 0;
    if (found === headEnd.length) seek(statusLine);
  }

  return {
    expect: () => seek(statusLine),
    pass(bytes) {
      for (let at = 0; sought !== undefined && at < bytes.length; at++) take(bytes, at);
    },
  };
}

const two = 0x32;
const carriageReturn = 0x0d;

const isMatch = (text: string, at: number, byte: number): boolean =>
  text[at] === '#' ? byte >= 0x30 && byte <= 0x39 : text.charCodeAt(at) === byte;
