/**
 * Of the console's page and its assets. Scripts and styles are files of this server only: a text of a request that the page
 * showed as HTML by mistake could run nothing and send nothing to another host. Only the console itself may frame a page, and it
 * frames Bull Board.
 */
export const consoleHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'self'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
};
