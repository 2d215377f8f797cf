import { isUtf8 } from 'node:buffer';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { parseDataUrl } from '../data-url.ts';

/*
 * Forms (multipart/form-data) as JSON, because a request's body is JSON wherever it is kept, and jobs and WebSockets have no forms: a
 * text field is a text, a file is an object with its bytes as a data URL, and fields of the same name are a list.
 */

/** A file of a form. */
export type FormFile = { filename?: string; data: string };

export const isFile = (value: unknown): value is FormFile =>
  isJsonObject(value) &&
  (value['filename'] === undefined || typeof value['filename'] === 'string') &&
  typeof value['data'] === 'string' &&
  parseDataUrl(value['data']) !== undefined;

/** Fields of one form: no API has as many, and each of them costs time. */
export const maxFields = 100;

/** Bytes of the headers of a field. */
const maxHeadBytes = 8 * 1024;

/** RFC 2046. */
const maxBoundary = 70;

/**
 * The form as the JSON text of an object; undefined if it is no form (RFC 7578), or has more than `maxFields`. `contentType`: the
 * header, with the boundary. It is written as text because JSON.stringify takes 15 ms for each megabyte.
 */
export function readForm(bytes: Buffer, contentType: string): string | undefined {
  const [, inQuotes, plain] = /;\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = inQuotes ?? plain ?? '';
  if (boundary === '' || boundary.length > maxBoundary) return undefined;
  const fields = new Map<string, string[]>();
  const parts = partsOf(bytes, boundary);
  if (!parts) return undefined;
  for (const part of parts) {
    const field = fieldOf(part);
    if (!field) return undefined;
    fields.set(field.name, [...(fields.get(field.name) ?? []), field.value]);
  }
  const members = [...fields].map(([name, values]) => {
    const [only = ''] = values;
    return `${JSON.stringify(name)}:${values.length === 1 ? only : `[${values.join(',')}]`}`;
  });
  return `{${members.join(',')}}`;
}

type FormPart = { head: string; content: Buffer };

/** Undefined if the text between two boundaries is no part, or the last boundary is missing. */
function partsOf(bytes: Buffer, boundary: string): FormPart[] | undefined {
  const mark = `\r\n--${boundary}`;
  const parts: FormPart[] = [];
  // The first boundary may stand at the very beginning, without a line before it.
  const isAtStart = bytes.subarray(0, mark.length - 2).equals(Buffer.from(mark.slice(2)));
  let at = isAtStart ? mark.length - 2 : endOf(bytes, mark, 0);
  while (at !== undefined) {
    if (bytes.subarray(at, at + 2).toString('latin1') === '--') return parts;
    const line = bytes.indexOf('\r\n', at);
    const headEnd = line < 0 ? -1 : bytes.indexOf('\r\n\r\n', line);
    const isLine =
      line >= 0 && /^[ \t]*$/.test(bytes.subarray(at, line).toString('latin1', 0, 100));
    if (!isLine || headEnd < 0 || headEnd - line > maxHeadBytes || parts.length >= maxFields) {
      return undefined;
    }
    // The empty line before a boundary may be the one behind the headers.
    const end = endOf(bytes, mark, headEnd + 2);
    if (end === undefined) return undefined;
    const contentEnd = Math.max(headEnd + 4, end - mark.length);
    parts.push({
      head: bytes.subarray(line + 2, headEnd).toString(),
      content: bytes.subarray(headEnd + 4, contentEnd),
    });
    at = end;
  }
  return undefined;
}

/** The place behind the next boundary. */
function endOf(bytes: Buffer, mark: string, from: number): number | undefined {
  const found = bytes.indexOf(mark, from, 'latin1');
  return found < 0 ? undefined : found + mark.length;
}

/** A field's name, and its value as JSON text. A field with a file name is a file. */
function fieldOf({ head, content }: FormPart): { name: string; value: string } | undefined {
  const [, disposition = ''] = /^content-disposition:[ \t]*form-data(;.*)$/im.exec(head) ?? [];
  const name = parameter(disposition, 'name');
  if (name === undefined) return undefined;
  const filename = extended(disposition) ?? parameter(disposition, 'filename');
  if (filename === undefined) {
    return isUtf8(content) ? { name, value: JSON.stringify(content.toString()) } : undefined;
  }
  const [, told = ''] = /^content-type:[ \t]*([\w.+-]+\/[\w.+-]+)/im.exec(head) ?? [];
  const type = told === '' ? 'application/octet-stream' : told;
  const data = `"data:${type};base64,${content.toString('base64')}"`;
  return { name, value: `{"filename":${JSON.stringify(filename)},"data":${data}}` };
}

/** A parameter of a header as browsers (`%22`) and curl (`\"`) write it. */
function parameter(disposition: string, name: string): string | undefined {
  const pattern = new RegExp(`;[ \\t]*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, 'i');
  const [, inQuotes, plain] = pattern.exec(disposition) ?? [];
  return (inQuotes ?? plain)
    ?.replaceAll(/\\(["\\])/g, '$1')
    .replaceAll('%22', '"')
    .replaceAll(/%0D/gi, '\r')
    .replaceAll(/%0A/gi, '\n');
}

/** `filename*=UTF-8''…`, as some libraries write names that are not ASCII. */
function extended(disposition: string): string | undefined {
  const [, text] = /;[ \t]*filename\*=utf-8'[^']*'([^\s;]+)/i.exec(disposition) ?? [];
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The bytes of a form with the members of a body. `boundary`: a text that is in none of them. */
export function writeForm(body: JsonObject, boundary: string): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(body)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one === undefined || one === null) continue;
      const { head, content } = partOf(name, one);
      parts.push(Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`), content, Buffer.from('\r\n'));
    }
  }
  return Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
}

function partOf(name: string, value: unknown): { head: string; content: Buffer } {
  const head = `content-disposition: form-data; name="${quoted(name)}"`;
  const file = isFile(value) ? parseDataUrl(value.data) : undefined;
  if (!file) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return { head, content: Buffer.from(text) };
  }
  const { filename = 'file' } = value as FormFile;
  const type = /^[\w.+-]+\/[\w.+-]+$/.test(file.mediaType)
    ? file.mediaType
    : 'application/octet-stream';
  return {
    head: `${head}; filename="${quoted(filename)}"\r\ncontent-type: ${type}`,
    content: Buffer.from(file.base64, 'base64'),
  };
}

/** As browsers write names. */
const quoted = (text: string): string =>
  text.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
