/** Finished jobs that each shard keeps for Bull Board, by outcome: about 1 KB each. */
export const keptJobs = 5000;

/** Entries of BullMQ's event stream, which no component of ours reads. */
export const keptEvents = 1000;

/** BullMQ's options of every job: finished ones stay visible to operators for this long. */
export function keptOptions(retentionMs: number) {
  const keep = { age: Math.ceil(retentionMs / 1000), count: keptJobs };
  return { attempts: 1, removeOnComplete: keep, removeOnFail: keep };
}
