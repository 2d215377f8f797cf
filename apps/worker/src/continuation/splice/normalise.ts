const space = 0x20;

/** The normal form of a character, and the characters that it replaces. */
const alike = {
  ' ':
    '\t\n\v\f\r\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A' +
    '\u2028\u2029\u202F\u205F\u3000\uFEFF',
  "'": '\u2018\u2019\u201A\u201B\u2032\u0060\u00B4',
  '"': '\u201C\u201D\u201E\u201F\u2033\u00AB\u00BB',
};

/** The normal form of each UTF-16 code unit. */
const agreed = new Uint16Array(0x10000);
for (let code = 0; code < agreed.length; code++) agreed[code] = code;
for (const [one, others] of Object.entries(alike)) {
  for (let at = 0; at < others.length; at++) agreed[others.charCodeAt(at)] = one.charCodeAt(0);
}

/**
 * The normalised code unit at an index: any white space is a space, quotation marks are straight, all else is
 * itself.
 */
export const agreedCode = (text: string, at: number): number => agreed[text.charCodeAt(at)] ?? 0;

export const isSpace = (code: number): boolean => code === space;

/** A text in normal form: runs of white space as one space, straight quotation marks. */
export function normalise(text: string): string {
  let out = '';
  let wasSpace = false;
  for (let at = 0; at < text.length; at++) {
    const code = agreedCode(text, at);
    if (!isSpace(code) || !wasSpace) out += String.fromCharCode(code);
    wasSpace = isSpace(code);
  }
  return out;
}
