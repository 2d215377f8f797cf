/** Fields whose text is a secret, its digest, or may contain one. */
const secretFields = /secret|password|apikey|sha256|proxy|token$/i;
const hidden = '(not shown)';
/** The field `webhooks.url`, of whatever config. */
export const webhookUrl = 'webhooks.url';

/** A config as an operator may see it, without anything that helps to authenticate anywhere. */
export function redacted(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) return value.map((inner) => redacted(inner, field));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, redacted(inner, fieldOf(field, name))]),
    );
  }
  if (typeof value !== 'string') return value;
  if (secretFields.test(field)) return hidden;
  if (field === webhookUrl) return onlyOrigin(value);
  return field.toLowerCase().endsWith('url') ? withoutCredentials(value) : value;
}

/** `field`: of the mapping that has the field `name`. Values of a provider's headers and query may authenticate. */
function fieldOf(field: string, name: string): string {
  if (field === 'headers' || field === 'query') return 'secret';
  return field === 'webhooks' && name === 'url' ? webhookUrl : name;
}

/** The URL of a webhook without its path and its query, of which either may be what authenticates its caller. */
export function onlyOrigin(url: string): string {
  return URL.canParse(url) ? `${new URL(url).origin}/${hidden}` : hidden;
}

/** The URL of a database or of Redis may have a password in its authority or in its query. */
function withoutCredentials(text: string): string {
  const [place = ''] = text.split(/[?#]/);
  return place.replace(/^([\w+]+:\/\/)[^/]*@/, `$1${hidden}@`);
}
