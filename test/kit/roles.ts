import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type RoleName = 'ingress' | 'worker' | 'admin';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** The variable with the folder of the bundled roles of this test run (roles-setup.ts). */
export const bundleVariable = 'MILLRACE_TEST_ROLES';

/**
 * The program of a role. Outside of vitest it is the source; within, the same code in one file, so that a
 * test's processes start in half of the time, which is most of the tests' cost.
 */
export function programOf(role: RoleName): string {
  const bundle = process.env[bundleVariable];
  return bundle === undefined
    ? join(root, `apps/${role}/src/main.ts`)
    : join(bundle, bundleOf(role));
}

/** Below the bundle's folder. `ps` shows the role as it does for the source. */
export const bundleOf = (role: RoleName): string => `apps/${role}/main.mjs`;
