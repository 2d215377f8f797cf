import { plural, unknown, usd } from './format.ts';

/**
 * An amount of USD, with what it is short of: `≥` where the price of some requests is unknown, `≈` where tokens are
 * estimated. `–` if nothing of it is known.
 */
export function Cost(props: {
  /** Of the requests whose price is known; null: of none. */
  cost: number | null | undefined;
  /** Requests whose price is unknown. */
  unpriced?: number;
  /** Requests whose tokens are estimated in part. */
  estimated?: number;
}) {
  const { cost, unpriced = 0, estimated = 0 } = props;
  if (!isCostKnown(props)) {
    return <span title="The price is unknown">{unknown}</span>;
  }
  const why = [
    ...(unpriced > 0 ? [`the price of ${plural(unpriced, 'request')} is unknown`] : []),
    ...(estimated > 0 ? [`the tokens of ${plural(estimated, 'request')} are estimated`] : []),
  ];
  return (
    <span title={why.join('; ') || undefined}>
      {unpriced > 0 ? '≥ ' : estimated > 0 ? '≈ ' : ''}
      {usd(cost)}
    </span>
  );
}

/** A sum of 0 that leaves requests out tells nothing of their cost. */
export const isCostKnown = ({
  cost,
  unpriced = 0,
}: {
  cost: number | null | undefined;
  unpriced?: number;
}): boolean => cost !== null && cost !== undefined && (cost !== 0 || unpriced === 0);
