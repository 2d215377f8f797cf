import { ConfigError, loadConfig } from '@millrace/shared/config';
import type { Role } from '@millrace/shared/config';
import { CommandFailed, exitCodes } from '../io.ts';
import type { Io } from '../io.ts';
import { plural } from '../output/format.ts';

const roles: readonly Role[] = ['start', 'ingress', 'worker', 'admin'];

/** `config check FILE`: the same validation with which a process of this role starts. */
export function checkConfig({ env, out, err }: Io, file: string, roleName: string): void {
  const role = roles.find((one) => one === roleName);
  if (role === undefined) {
    throw new CommandFailed(`--role: expected one of ${roles.join(', ')}`, exitCodes.usage);
  }
  try {
    const { config, warnings } = loadConfig({ argv: ['--config', file], env: { ...env }, role });
    for (const warning of warnings) err(`warning: ${warning}\n`);
    const models = Object.keys(config.models).length;
    const providers = Object.keys(config.providers).length;
    out(`${file} is valid: ${plural(models, 'model')}, ${plural(providers, 'provider')}\n`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) err(`${problem}\n`);
    throw new CommandFailed(
      `${plural(error.problems.length, 'problem')} in ${file}`,
      exitCodes.config,
    );
  }
}
