/** LOG_LEVEL, which is read before there is a configuration, so that its errors can be logged. */
export function logLevel(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return env['LOG_LEVEL'] === '' ? undefined : env['LOG_LEVEL'];
}
