/** No request is left until the reset; tokens are not exhausted. */
export function rateLimitHeaders(seconds: number): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': duration(seconds),
    'x-ratelimit-limit-tokens': '150000',
    'x-ratelimit-remaining-tokens': '150000',
    'x-ratelimit-reset-tokens': duration(0),
  };
}

/** In OpenAI's notation, which is Go's: `1s`, `6m0s`, `1h0m0s`. */
function duration(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours > 0) return `${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
