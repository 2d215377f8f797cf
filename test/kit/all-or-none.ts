/**
 * Waits for everything that starts. If one start fails, ends the others, and rejects with the reason of the
 * first failure: nothing is left running.
 */
export async function allOrNone<T extends readonly unknown[]>(
  starting: { readonly [K in keyof T]: Promise<T[K]> },
  end: (started: T[number]) => Promise<unknown>,
): Promise<T> {
  const settled = await Promise.allSettled(starting as readonly Promise<T[number]>[]);
  const failed = settled.find((one) => one.status === 'rejected');
  if (!failed) return Promise.all(starting) as Promise<unknown> as Promise<T>;
  const started = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  await Promise.all(started.map(end));
  throw failed.reason;
}
