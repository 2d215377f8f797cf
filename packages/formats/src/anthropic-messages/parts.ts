import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import { isWebUrl, parseDataUrl } from '../data-url.ts';
import type { DataUrl } from '../data-url.ts';
import { invalid, RefusedError } from '../refused.ts';

/** A content block of Anthropic's. */
export type Block = { type: string } & Record<string, unknown>;

/** Anthropic answers a text block without a visible character with 400. */
const isBlank = (text: string): boolean => withoutTrailingSpace(text) === '';

/**
 * A content (a text or parts) as blocks; none if it is empty. `param` is its path in the request, for the
 * error.
 */
export function contentBlocks(
  content: unknown,
  param: string,
  toBlock: (part: Record<string, unknown>, param: string) => Block,
): Block[] {
  if (content === undefined || content === null) return [];
  if (typeof content === 'string') return isBlank(content) ? [] : [textBlock(content)];
  if (!Array.isArray(content)) throw invalid(param, 'must be a text or an array of parts');
  const blocks: Block[] = [];
  for (const [index, part] of (content as unknown[]).entries()) {
    const place = `${param}[${index}]`;
    if (!isJsonObject(part)) throw invalid(place, 'must be an object');
    const block = withCacheControl(toBlock(part, place), part);
    if (block.type !== 'text' || !isBlank(String(block['text']))) blocks.push(block);
  }
  return blocks;
}

export const textBlock = (text: string): Block => ({ type: 'text', text });

/** The block with the `cache_control` that callers add in the same place as for Anthropic. */
export function withCacheControl(block: Block, source: Record<string, unknown>): Block {
  const mark = source['cache_control'];
  return isJsonObject(mark) ? { ...block, cache_control: mark } : block;
}

/** Accepts text only, for system messages. */
export function textPart(part: Record<string, unknown>, param: string): Block {
  if (part['type'] === 'text') return textBlock(textOf(part, 'text', param));
  throw inexpressible(param, part);
}

export function assistantPart(part: Record<string, unknown>, param: string): Block {
  return part['type'] === 'refusal'
    ? textBlock(textOf(part, 'refusal', param))
    : textPart(part, param);
}

export function userPart(part: Record<string, unknown>, param: string): Block {
  if (part['type'] === 'image_url') return imageBlock(part['image_url'], param);
  if (part['type'] === 'file') return documentBlock(part['file'], param);
  return textPart(part, param);
}

function textOf(part: Record<string, unknown>, name: string, param: string): string {
  const text = part[name];
  if (typeof text !== 'string') throw invalid(`${param}.${name}`, 'must be a text');
  return text;
}

const imageTypes = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

function imageBlock(image: unknown, param: string): Block {
  const place = `${param}.image_url.url`;
  const url = isJsonObject(image) ? image['url'] : image;
  if (typeof url !== 'string') throw invalid(place, 'must be a text');
  if (isWebUrl(url)) return { type: 'image', source: { type: 'url', url } };
  const data = parseDataUrl(url);
  if (!data) throw invalid(place, 'must be an http(s) URL, or a data URL in base64');
  return base64Image(data, place);
}

function base64Image({ mediaType, base64 }: DataUrl, param: string): Block {
  const type = mediaType === 'image/jpg' ? 'image/jpeg' : mediaType;
  if (!imageTypes.has(type)) {
    throw new RefusedError(param, `Anthropic's API takes no images of type '${mediaType}'.`);
  }
  return { type: 'image', source: { type: 'base64', media_type: type, data: base64 } };
}

function documentBlock(file: unknown, param: string): Block {
  if (!isJsonObject(file)) throw invalid(`${param}.file`, 'must be an object');
  const { file_data: text, filename } = file;
  if (typeof text !== 'string' || text === '') {
    throw new RefusedError(`${param}.file`, 'Anthropic has no files by the ids of OpenAI.');
  }
  const place = `${param}.file.file_data`;
  const data = parseDataUrl(text) ?? bareBase64(text, filename);
  if (data?.mediaType.startsWith('image/')) return base64Image(data, place);
  const source = isWebUrl(text) ? { type: 'url', url: text } : data && documentSource(data);
  if (!source) {
    throw new RefusedError(place, "Anthropic's API takes PDF and plain text documents only.");
  }
  const title = typeof filename === 'string' && filename !== '' ? { title: filename } : {};
  return { type: 'document', source, ...title };
}

function documentSource({ mediaType, base64 }: DataUrl): Record<string, unknown> | undefined {
  if (mediaType === 'application/pdf') {
    return { type: 'base64', media_type: mediaType, data: base64 };
  }
  if (!mediaType.startsWith('text/')) return undefined;
  const data = Buffer.from(base64, 'base64').toString('utf8');
  return { type: 'text', media_type: 'text/plain', data };
}

/** OpenAI's first form of `file_data`, in which only the file name shows the type. */
function bareBase64(text: string, filename: unknown): DataUrl | undefined {
  if (typeof filename !== 'string' || !/\.pdf$/i.test(filename) || isWebUrl(text)) return undefined;
  return { mediaType: 'application/pdf', base64: text };
}

function inexpressible(param: string, { type }: Record<string, unknown>): RefusedError {
  return new RefusedError(
    param,
    `Anthropic's API has nothing for a part of type '${shownText(type)}' here.`,
  );
}

/** Removes what Anthropic treats as white space at the end of a text, which is that of Python's `rstrip`. */
export function withoutTrailingSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

/** The separators of files, groups, records and units, and the C1 control "next line". */
const isSpace = (code: number): boolean =>
  (code >= 0x1c && code <= 0x1f) || code === 0x85 || /\s/.test(String.fromCharCode(code));
