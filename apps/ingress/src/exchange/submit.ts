import { createCreator } from './create.ts';
import type { Creator, CreatorDeps } from './create.ts';
import { createEnder } from './end.ts';
import type { Ender, EnderDeps } from './end.ts';

export type { Creation, Late } from './create.ts';

/** The commands with which an ingress creates requests in Redis and ends them. */
export type Submitter = Pick<Creator, 'create' | 'isCreating'> & Ender;

export type SubmitDeps = CreatorDeps & Omit<EnderDeps, 'giveUp'>;

export function createSubmitter(deps: SubmitDeps): Submitter {
  const { create, isCreating, giveUp } = createCreator(deps);
  return Object.assign(createEnder({ ...deps, giveUp }), { create, isCreating });
}
