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

/** Undefined if it is no form, or has more than `maxFields`. `contentType`: the header, with the boundary. */
export async function readForm(
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
): Promise<JsonObject | undefined> {
  if (hasTooManyFields(bytes, contentType)) return undefined;
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { 'content-type': contentType } }).formData();
  } catch {
    return undefined;
  }
  const fields = new Map<string, unknown[]>();
  for (const [name, value] of form) {
    const one = typeof value === 'string' ? value : await fileOf(value);
    fields.set(name, [...(fields.get(name) ?? []), one]);
  }
  return Object.fromEntries(
    [...fields].map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
}

function hasTooManyFields(bytes: Uint8Array<ArrayBuffer>, contentType: string): boolean {
  const [, quoted, plain] = /boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const mark = `--${quoted ?? plain ?? ''}`;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = -1;
  for (let at = 0; at >= 0 && count <= maxFields; count++) {
    at = view.indexOf(mark, at);
    if (at >= 0) at += mark.length;
  }
  return count > maxFields;
}

async function fileOf(file: File): Promise<FormFile> {
  const base64 = Buffer.from(await file.arrayBuffer()).toString('base64');
  const type = file.type === '' ? 'application/octet-stream' : file.type;
  return { filename: file.name, data: `data:${type};base64,${base64}` };
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
