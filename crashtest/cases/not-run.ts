/** A fault of the catalogue that is not run, and why. */
export type NotRun = { id: string; title: string; reason: string };

export const NOT_RUN: readonly NotRun[] = [
  {
    id: 'M06',
    title: 'Redis primary lost, replica promoted (Sentinel, Cluster)',
    reason:
      'no Sentinel or cluster is set up here; what a failover does to commands and logs is tested in test/',
  },
  {
    id: 'M08',
    title: 'a network partition between a worker and Redis, healed later',
    reason:
      'no network is cut between one worker and Redis here; M02 has the same consequences for it',
  },
];
