import type { Gate, GateRequest, Permit } from './gate.ts';

const permit: Permit = {
  apiKey: undefined,
  begin: () => ({ head() {}, firstToken() {}, ended() {} }),
  cancel() {},
};

/** For tests that look at something else: every target may be asked at any time. */
export const openGate = ({ routes }: Pick<GateRequest, 'routes'>): Gate => ({
  look: () => ({ open: routes, shut: [] }),
  opensAt: () => 0,
  enter: () => permit,
  hasOtherKey: () => false,
  wait: () => Promise.resolve({ kind: 'aborted' }),
  goBack: () => false,
  close() {},
});

export const freePermit = permit;
