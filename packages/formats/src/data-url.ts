export type DataUrl = { mediaType: string; base64: string };

/** A data URL in base64; undefined for anything else. Only the head is matched, because the data can be megabytes. */
export function parseDataUrl(url: string): DataUrl | undefined {
  if (!/^data:/i.test(url)) return undefined;
  const comma = url.indexOf(',');
  const [mediaType = '', ...parameters] = url.slice('data:'.length, comma).toLowerCase().split(';');
  if (comma < 0 || parameters.at(-1)?.trim() !== 'base64') return undefined;
  return { mediaType: mediaType.trim(), base64: url.slice(comma + 1) };
}

export const isWebUrl = (url: string): boolean => /^https?:\/\//i.test(url);
