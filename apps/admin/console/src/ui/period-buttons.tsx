import { periods } from './periods.ts';
import type { Period } from './periods.ts';

/** Chooses the period that a page shows. */
export function PeriodButtons({ period, choose }: { period: Period; choose(name: string): void }) {
  return (
    <div class="actions" role="group" aria-label="Period">
      {periods.map((one) => (
        <button
          type="button"
          key={one.name}
          aria-pressed={one.name === period.name}
          onClick={() => choose(one.name)}
        >
          {one.title}
        </button>
      ))}
    </div>
  );
}
