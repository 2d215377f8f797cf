import './meter.css';

/** A bar for a share between 0 and 1. `warnAt` and `badAt`: shares from which it has another colour. */
export function Meter(props: { label: string; share: number; warnAt?: number; badAt?: number }) {
  const { label, share, warnAt = Infinity, badAt = Infinity } = props;
  const value = Math.min(1, Math.max(0, share));
  const tone = share >= badAt ? 'bad' : share >= warnAt ? 'warn' : 'good';
  return (
    <span
      class="meter"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(value * 100)}
      data-tone={tone}
    >
      <span style={{ width: `${value * 100}%` }} />
    </span>
  );
}
