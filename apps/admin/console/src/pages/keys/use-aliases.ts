import { usePoll } from '../../api/use-poll.ts';

/** The models of the config that the control plane uses; none until they are known. */
export function useAliases(): readonly string[] {
  const { data } = usePoll<{ config: { models?: Record<string, unknown> } }>('config');
  return Object.keys(data?.config.models ?? {});
}
