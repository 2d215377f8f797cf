import type { TargetAccess, TargetAccessRequest, Permit } from './target-access.ts';

const permit: Permit = {
  apiKey: undefined,
  begin: () => ({ head() {}, firstToken() {}, ended() {} }),
  cancel() {},
};

/** For tests that look at something else: every target may be asked at any time. */
export const openTargets = ({ routes }: Pick<TargetAccessRequest, 'routes'>): TargetAccess => ({
  candidates: () => ({ open: routes, shut: [] }),
  opensAt: () => 0,
  acquire: () => permit,
  hasOtherKey: () => false,
  wait: () => Promise.resolve({ kind: 'aborted' }),
  whyShut: () => '',
  requeue: () => false,
  close() {},
});

export const freePermit = permit;
