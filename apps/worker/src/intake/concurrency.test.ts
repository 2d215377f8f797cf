import { describe, expect, it } from 'vitest';
import { seeded } from '../upstream/selection/simulation.fixture.ts';
import { minConcurrency, concurrencyLimit } from './concurrency.ts';

const ceiling = 2048;
const load = { lateMs: 0, running: 0, ceiling, summoned: 0 };

/**
 * A loop and endless work for it. Each run takes `cost` of the loop's time; the fuller the loop, the longer
 * its turns, as of any queue; each look a twentieth of the runs comes to its end.
 */
function createLoop({ cost = 1 / 1000, running = 0, error = 0 } = {}) {
  const loop = { cost, running, pauseMs: 0, offered: Infinity };
  const random = seeded(1);
  const lateMs = () => {
    const use = Math.min(0.99, loop.running * loop.cost);
    return ((5 * use) / (1 - use)) * (1 + error * (2 * random() - 1)) + loop.pauseMs;
  };
  function look(): number {
    const places = concurrencyLimit({
      lateMs: lateMs(),
      running: loop.running,
      ceiling,
      summoned: 0,
    });
    loop.running -= Math.ceil(loop.running / 20);
    loop.pauseMs = 0;
    loop.running = Math.max(loop.running, Math.min(places, loop.offered));
    return places;
  }
  const looks = (count: number) => Array.from({ length: count }, look);
  return Object.assign(loop, { look, looks });
}

describe('the places of a worker', () => {
  it('come to as many runs as make its loop as late as it may be, and stay there', () => {
    const loop = createLoop();
    loop.looks(150);
    // Of this loop that is at 80 % of its time: 5 × 0.8 / 0.2 = 20 ms.
    for (const places of loop.looks(100)) expect(Math.abs(places - 800)).toBeLessThan(10);
  });

  it('stay near there where each look is wrong by up to a half', () => {
    const loop = createLoop({ error: 0.5 });
    loop.looks(50);
    for (let i = 0; i < 300; i++) {
      loop.look();
      expect(loop.running).toBeGreaterThan(600);
      expect(loop.running).toBeLessThan(1100);
    }
  });

  it('double with each look while the loop is on time, and not more', () => {
    const loop = createLoop({ cost: 1 / 1_000_000 });
    expect(loop.looks(7)).toEqual([64, 128, 256, 512, 1024, 2048, 2048]);
  });

  it('fall when the runs become more costly, and rise when they become cheaper', () => {
    const loop = createLoop();
    loop.looks(50);
    loop.cost = 1 / 250;
    loop.looks(100);
    expect(Math.abs(loop.running - 200)).toBeLessThan(30);
    loop.cost = 1 / 1000;
    loop.looks(50);
    expect(Math.abs(loop.running - 800)).toBeLessThan(80);
  });

  it('do not spiral down where the loop is late whatever it does', () => {
    const loop = createLoop();
    for (let i = 0; i < 100; i++) {
      loop.pauseMs = 500;
      expect(loop.look()).toBeGreaterThanOrEqual(minConcurrency);
    }
    expect(loop.look()).toBeGreaterThanOrEqual(minConcurrency);
    loop.looks(5);
    expect(loop.running).toBeGreaterThan(500);
  });

  it('forget one long pause with the next look', () => {
    const loop = createLoop({ running: 500 });
    loop.offered = 500;
    loop.looks(20);
    loop.pauseMs = 300;
    expect(loop.look()).toBeLessThan(500);
    expect(loop.look()).toBeGreaterThanOrEqual(500);
    // A run that ended in between is followed by another one.
    expect(loop.running).toBe(500);
  });

  it('are there for a burst after a time of rest, and grow with it', () => {
    const loop = createLoop();
    loop.offered = 0;
    loop.looks(100);
    loop.offered = 400;
    loop.looks(4);
    expect(loop.running).toBe(400);
  });

  it('have room for a dead worker’s jobs at once, however late the loop is', () => {
    expect(concurrencyLimit({ ...load, lateMs: 200, running: 300, summoned: 500 })).toBe(500);
    expect(concurrencyLimit({ ...load, running: 10, summoned: 5000 })).toBe(ceiling);
  });

  it('are never more than the ceiling, however small that is', () => {
    expect(concurrencyLimit({ ...load, ceiling: 4, running: 4 })).toBe(4);
    expect(concurrencyLimit({ ...load, ceiling: 4 })).toBe(4);
  });
});
