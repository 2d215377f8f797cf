/** Returns what `make` makes of `source()`; makes it anew when the source is another value, as after a reload of the config. */
export function remade<Source, Made>(
  source: () => Source,
  make: (source: Source) => Made,
): () => Made {
  let from = source();
  let made = make(from);
  return () => {
    const now = source();
    if (now !== from) {
      from = now;
      made = make(now);
    }
    return made;
  };
}
