import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import { isWebUrl } from '../data-url.ts';
import { invalid, RefusedError } from '../refused.ts';

type Json = Readonly<Record<string, unknown>>;

/** A content part of the Responses API. */
export type Part = { type: string } & Record<string, unknown>;

/** Translates a content part. `param`: its path in the request, for the error. */
export type ToPart = (part: Json, param: string) => Part;

/** A content: a text stays one, and parts are translated. Undefined if it is empty. */
export function translateContent(
  content: unknown,
  param: string,
  toPart: ToPart,
): string | Part[] | undefined {
  if (content === undefined || content === null) return undefined;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw invalid(param, 'must be a text or an array of parts');
  const parts = (content as unknown[]).map((part, index) => {
    const place = `${param}[${index}]`;
    if (!isJsonObject(part)) throw invalid(place, 'must be an object');
    const translated = toPart(part, place);
    const mark = part['prompt_cache_breakpoint'];
    return isJsonObject(mark) ? { ...translated, prompt_cache_breakpoint: mark } : translated;
  });
  return parts.length > 0 ? parts : undefined;
}

/** The text of system and developer messages. */
export function instructionPart(part: Json, param: string): Part {
  if (part['type'] !== 'text') throw inexpressible(part, param);
  return { type: 'input_text', text: textOf(part, 'text', param) };
}

export function userPart(part: Json, param: string): Part {
  switch (part['type']) {
    case 'image_url':
      return imagePart(part['image_url'], param);
    case 'file':
      return filePart(part['file'], param);
    default:
      return instructionPart(part, param);
  }
}

export function assistantPart(part: Json, param: string): Part {
  switch (part['type']) {
    case 'text':
      return { type: 'output_text', text: textOf(part, 'text', param) };
    case 'refusal':
      return { type: 'refusal', refusal: textOf(part, 'refusal', param) };
    default:
      throw inexpressible(part, param);
  }
}

function imagePart(image: unknown, param: string): Part {
  const { url, detail } = isJsonObject(image) ? image : { url: image, detail: undefined };
  if (typeof url !== 'string') throw invalid(`${param}.image_url.url`, 'must be a text');
  return { type: 'input_image', image_url: url, detail: detail ?? 'auto' };
}

function filePart(file: unknown, param: string): Part {
  if (!isJsonObject(file)) throw invalid(`${param}.file`, 'must be an object');
  const { file_id: id, file_data: data, filename, detail } = file;
  const isUrl = typeof data === 'string' && isWebUrl(data);
  return {
    type: 'input_file',
    ...(id !== undefined && { file_id: id }),
    ...(data !== undefined && (isUrl ? { file_url: data } : { file_data: data })),
    ...(filename !== undefined && { filename }),
    ...(detail !== undefined && { detail }),
  };
}

function textOf(part: Json, name: string, param: string): string {
  const text = part[name];
  if (typeof text !== 'string') throw invalid(`${param}.${name}`, 'must be a text');
  return text;
}

const inexpressible = ({ type }: Json, param: string): RefusedError =>
  new RefusedError(
    param,
    `The Responses API has nothing for a part of type '${shownText(type)}' here.`,
  );
