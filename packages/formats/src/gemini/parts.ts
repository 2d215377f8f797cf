import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import { isWebUrl, parseDataUrl } from '../data-url.ts';
import { invalid, RefusedError } from '../refused.ts';
import type { ModelTraits } from './models.ts';

/** A part of one of Gemini's contents. */
export type Part = Record<string, unknown>;

type ToPart = (part: Record<string, unknown>, param: string) => Part;

/**
 * A content (a text or parts) as Gemini's parts, without empty texts, which Gemini rejects. `param` is its path in
 * the request, for the error.
 */
export function contentParts(content: unknown, param: string, toPart: ToPart): Part[] {
  if (content === undefined || content === null || content === '') return [];
  if (typeof content === 'string') return [{ text: content }];
  if (!Array.isArray(content)) throw invalid(param, 'must be a text or an array of parts');
  const parts = (content as unknown[]).map((part, index) => {
    const place = `${param}[${index}]`;
    if (!isJsonObject(part)) throw invalid(place, 'must be an object');
    return toPart(part, place);
  });
  return parts.filter(({ text }) => text !== '');
}

/** Accepts text only, for system messages. */
export function textPart(part: Record<string, unknown>, param: string): Part {
  if (part['type'] === 'text') return { text: textOf(part, 'text', param) };
  throw inexpressible(param, part);
}

export function assistantPart(part: Record<string, unknown>, param: string): Part {
  return part['type'] === 'refusal'
    ? { text: textOf(part, 'refusal', param) }
    : textPart(part, param);
}

export const userPart =
  (traits: ModelTraits): ToPart =>
  (part, param) => {
    switch (part['type']) {
      case 'image_url':
        return imagePart(part['image_url'], `${param}.image_url.url`, traits);
      case 'input_audio':
        return audioPart(part['input_audio'], `${param}.input_audio`);
      case 'file':
        return filePart(part['file'], `${param}.file`, traits);
      default:
        return textPart(part, param);
    }
  };

/** An image as in OpenAI's `image_url`: a URL, or an object with one. */
export function imagePart(image: unknown, param: string, traits: ModelTraits): Part {
  const url = isJsonObject(image) ? image['url'] : image;
  if (typeof url !== 'string') throw invalid(param, 'must be a text');
  const part = dataPart(url, param, traits);
  if (!part) throw invalid(param, 'must be an http(s) URL, or a data URL in base64');
  return part;
}

/** The audio formats of OpenAI and Gemini, by their names in a chat completion. */
const audioTypes: Readonly<Record<string, string>> = { wav: 'audio/wav', mp3: 'audio/mpeg' };

function audioPart(audio: unknown, param: string): Part {
  const { data, format } = isJsonObject(audio) ? audio : {};
  if (typeof data !== 'string') throw invalid(`${param}.data`, 'must be a text');
  const name = shownText(format);
  return {
    inlineData: {
      mimeType:
        (Object.hasOwn(audioTypes, name) && audioTypes[name]) || `audio/${name.toLowerCase()}`,
      data,
    },
  };
}

function filePart(file: unknown, param: string, traits: ModelTraits): Part {
  if (!isJsonObject(file)) throw invalid(param, 'must be an object');
  const { file_data: text, file_id: id, filename } = file;
  // The name of a file in Gemini's own Files API is a URL.
  if (typeof id === 'string' && isGooglesUrl(id)) return { fileData: { fileUri: id } };
  if (typeof text !== 'string' || text === '') {
    throw new RefusedError(param, 'Gemini has no files by the ids of OpenAI.');
  }
  const part = dataPart(text, `${param}.file_data`, traits);
  if (part) return part;
  const type = typeByName(shownText(filename));
  if (type === undefined) {
    throw invalid(`${param}.file_data`, 'must be a data URL in base64, or have a known filename');
  }
  // OpenAI's first form of `file_data`, in which only the file name shows the type.
  return { inlineData: { mimeType: type, data: text } };
}

/** A data URL or a web URL as a part; undefined if the text is neither. */
function dataPart(url: string, param: string, { webUrls }: ModelTraits): Part | undefined {
  const data = parseDataUrl(url);
  if (data) {
    const mimeType = data.mediaType === 'image/jpg' ? 'image/jpeg' : data.mediaType;
    return { inlineData: { mimeType, data: data.base64 } };
  }
  if (!isWebUrl(url) && !url.startsWith('gs://')) return undefined;
  if (!webUrls && !isGooglesUrl(url)) {
    throw new RefusedError(param, 'The model reads no files at URLs outside of Google.');
  }
  const mimeType = typeByName(url.replace(/[?#].*$/, ''));
  return { fileData: { ...(mimeType !== undefined && { mimeType }), fileUri: url } };
}

/** Files of Google's Files API and Cloud Storage, and videos, which every model reads. */
const isGooglesUrl = (url: string): boolean =>
  /^(gs:\/\/|https:\/\/(generativelanguage\.googleapis\.com|(www\.)?youtube\.com|youtu\.be)\/)/.test(
    url,
  );

/** Media types of which Gemini cannot guess the type from a URL. */
const types: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  heic: 'image/heic',
  heif: 'image/heif',
  pdf: 'application/pdf',
  txt: 'text/plain',
  csv: 'text/csv',
  html: 'text/html',
  md: 'text/markdown',
  mp4: 'video/mp4',
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
};

function typeByName(name: string): string | undefined {
  const extension = /\.([a-z0-9]{2,5})$/i.exec(name)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(types, extension) ? types[extension] : undefined;
}

function textOf(part: Record<string, unknown>, name: string, param: string): string {
  const text = part[name];
  if (typeof text !== 'string') throw invalid(`${param}.${name}`, 'must be a text');
  return text;
}

function inexpressible(param: string, { type }: Record<string, unknown>): RefusedError {
  return new RefusedError(
    param,
    `Gemini's API has nothing for a part of type '${shownText(type)}' here.`,
  );
}
