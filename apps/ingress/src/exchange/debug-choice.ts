/**
 * Whether the debug log has a request: each of a watched key, and of the others the share `sample` (0 to 1). `sample`: undefined
 * without `debugLog` in the config. `random`: from 0 on, below 1.
 */
export const isForDebugLog = (
  sample: number | undefined,
  isWatched: boolean,
  random: number,
): boolean => sample !== undefined && (isWatched || random < sample);
