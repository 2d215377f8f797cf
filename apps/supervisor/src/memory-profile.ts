import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartFailed } from './supervise.ts';

/**
 * V8's flags for ingresses and workers: those of the profile that MILLRACE_MEMORY_PROFILE names, a file of
 * scripts/memory-profiles, which scripts/launch.sh and the image use, too. Throws StartFailed.
 */
export function v8Flags(root: string, env: NodeJS.ProcessEnv): readonly string[] {
  const folder = join(root, 'scripts/memory-profiles');
  const name = env['MILLRACE_MEMORY_PROFILE'] || 'default';
  const names = readdirSync(folder);
  if (!names.includes(name)) {
    const expected = names.toSorted().join(', ');
    throw new StartFailed(
      `MILLRACE_MEMORY_PROFILE: expected one of ${expected}, found ${JSON.stringify(name)}`,
      78,
    );
  }
  return readFileSync(join(folder, name), 'utf8').trim().split(/\s+/);
}
