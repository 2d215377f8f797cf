/** The path of a request's URL. The query is left out of errors, logs and traces: it may have a key. */
export const pathOf = (url: string): string => url.split('?', 1)[0] ?? '';
