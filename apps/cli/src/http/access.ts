import { CommandFailed, exitCodes } from '../io.ts';

/** Where the ingresses are, and as whom the operator asks them. */
export type Access = {
  /** At least one; without a path or a trailing slash. */
  urls: readonly string[];
  /** For the admin API. */
  admin: { user: string; password: string } | undefined;
  apiKey: string | undefined;
};

export type AccessFlags = {
  url?: string;
  adminUser?: string;
  adminPassword?: string;
  apiKey?: string;
};

const defaultUrl = 'http://127.0.0.1:8080';

/** A flag beats its variable. Throws CommandFailed with what is wrong; no secret is in its message. */
export function readAccess(
  flags: AccessFlags,
  env: Readonly<Record<string, string | undefined>>,
): Access {
  const text = flags.url ?? (env['MILLRACE_URL'] || defaultUrl);
  const urls = text.split(',').map((one) => readUrl(one.trim()));
  const user = flags.adminUser ?? (env['MILLRACE_ADMIN_USER'] || undefined);
  const password = flags.adminPassword ?? (env['MILLRACE_ADMIN_PASSWORD'] || undefined);
  if ((user === undefined) !== (password === undefined)) {
    const missing =
      user === undefined
        ? 'the admin user: --admin-user or MILLRACE_ADMIN_USER'
        : "the admin user's password: MILLRACE_ADMIN_PASSWORD or --admin-password";
    throw new CommandFailed(`missing is ${missing}`, exitCodes.usage);
  }
  return {
    urls,
    admin: user === undefined || password === undefined ? undefined : { user, password },
    apiKey: flags.apiKey ?? (env['MILLRACE_API_KEY'] || undefined),
  };
}

function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOrigin = url && url.pathname === '/' && url.search === '' && url.hash === '';
  const hasLogin = url && (url.username !== '' || url.password !== '');
  if (!url || !/^https?:$/.test(url.protocol) || !isOrigin || hasLogin) {
    throw new CommandFailed(
      'the URL of an ingress: expected http://HOST:PORT or https://HOST:PORT, without a path, user or password',
      exitCodes.usage,
    );
  }
  return url.origin;
}
