/** How long a test waits for anything, in milliseconds: it ends hanging tests and is no time limit to test. */
const patienceMs = 60_000;

/** Rejects with the message if the promise has not settled in time. */
export async function inTime<T>(work: Promise<T>, message: () => string, ms = patienceMs) {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(message())), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
