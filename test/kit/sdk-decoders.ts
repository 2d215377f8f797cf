/*
 * Converts the lines of an event stream to messages as the OpenAI SDKs of four languages do, according to
 * their sources of August 2026. They agree on the standard's example streams and differ in edge cases: a
 * stream that one of them dispatches and another does not breaks one of them.
 */

/** The data that an SDK passes to its JSON parser. */
export type SdkMessage = { event: string; data: string };

/** Takes one line without its end; returns the message that the line completes. */
export type SdkDecoder = (line: string) => SdkMessage | undefined;

/** The most bytes of one line in Go's scanner: `bufio.MaxScanTokenSize << 9`, as openai-go sets it. */
export const longestGoLine = 64 * 1024 * 2 ** 9;

export const sdkDecoders = {
  'openai-python': createPythonDecoder,
  'openai-node': createNodeDecoder,
  'openai-java': createJavaDecoder,
  'openai-go': createGoDecoder,
} as const satisfies Record<string, () => SdkDecoder>;

export type SdkName = keyof typeof sdkDecoders;

/** The field of a line and its value, without one leading blank. A comment's field is ''. */
export function splitField(line: string): [field: string, value: string] {
  const colon = line.indexOf(':');
  if (colon === -1) return [line, ''];
  const value = line.slice(colon + 1);
  return [line.slice(0, colon), value.startsWith(' ') ? value.slice(1) : value];
}

/** A blank line is a message if there was an event, data or retry since the last one, or any id ever. */
function createPythonDecoder(): SdkDecoder {
  let event = '';
  let data: string[] = [];
  let lastId = '';
  let hasRetry = false;
  return (line) => {
    if (line === '') {
      if (event === '' && data.length === 0 && lastId === '' && !hasRetry) return undefined;
      const message = { event, data: data.join('\n') };
      event = '';
      data = [];
      hasRetry = false;
      return message;
    }
    const [field, value] = splitField(line);
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
    if (field === 'id' && !value.includes('\0')) lastId = value;
    if (field === 'retry' && /^\s*[+-]?\d+\s*$/.test(value)) hasRetry = true;
    return undefined;
  };
}

/** A blank line is a message if there was an event or data. */
function createNodeDecoder(): SdkDecoder {
  let event = '';
  let data: string[] = [];
  return (line) => {
    if (line === '') {
      if (event === '' && data.length === 0) return undefined;
      const message = { event, data: data.join('\n') };
      event = '';
      data = [];
      return message;
    }
    const [field, value] = splitField(line);
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
    return undefined;
  };
}

/** A blank line is a message if there was data, also empty data. */
function createJavaDecoder(): SdkDecoder {
  let event = '';
  let data: string[] = [];
  return (line) => {
    if (line === '') {
      const message = data.length === 0 ? undefined : { event, data: data.join('\n') };
      event = '';
      data = [];
      return message;
    }
    const [field, value] = splitField(line);
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
    return undefined;
  };
}

/** Each line of data ends in a line feed, so that an empty one is a message, too. */
function createGoDecoder(): SdkDecoder {
  let event = '';
  let data = '';
  return (line) => {
    if (line === '') {
      const message = data === '' ? undefined : { event, data };
      event = '';
      data = '';
      return message;
    }
    const [field, value] = splitField(line);
    if (field === 'event') event = value;
    if (field === 'data') data += `${value}\n`;
    return undefined;
  };
}
