import { maxReportBytes } from '@millrace/shared/store/reports/encode';
import type { Report, Reports } from '@millrace/shared/store/reports/port';
import { expect, it } from 'vitest';

/** One adapter with a store and a presence list of its own. */
export type ReportsUnderTest = {
  reports: Reports;
  /** Puts a worker on the presence list, or takes it off. */
  enlist(name: string): Promise<void>;
  strike(name: string): Promise<void>;
};

export const reportOf = (at: number, more: Partial<Report> = {}): Report => ({
  at,
  metrics: [{ name: 'm', help: 'ü', type: 'gauge', values: [{ value: at, labels: {} }] }],
  sections: { process: { pid: at } },
  ...more,
});

const large = (share: number) => 'x'.repeat(Math.ceil(maxReportBytes * share));

/** What every adapter promises of reports: one test for each promise of the port. */
export function reportsContract(open: (options?: { ttlMs: number }) => ReportsUnderTest): void {
  it('gives the newest report of every worker, sorted by name', async () => {
    const { reports, enlist } = open();
    for (const name of ['b', 'c', 'a']) await enlist(name);
    await reports.publish('b', reportOf(1));
    await reports.publish('a', reportOf(2));
    expect(await reports.publish('b', reportOf(3))).toEqual({ kind: 'whole' });
    expect(await reports.readAll()).toEqual([
      { name: 'a', ...reportOf(2) },
      { name: 'b', ...reportOf(3) },
    ]);
  });

  it('gives the last reports without a question', async () => {
    const { reports, enlist, strike } = open();
    for (const name of ['b', 'a']) await enlist(name);
    expect(await reports.readLast()).toEqual([]);
    await reports.publish('b', reportOf(1));
    await reports.publish('a', reportOf(2));
    expect(await reports.readLast()).toEqual([
      { name: 'a', ...reportOf(2) },
      { name: 'b', ...reportOf(1) },
    ]);
    await strike('b');
    expect(await reports.readLast()).toHaveLength(1);
  });

  it('has none where no worker is', async () => {
    const { reports } = open();
    expect(await reports.readAll()).toEqual([]);
  });

  it('shows only workers that are present', async () => {
    const { reports, enlist, strike } = open();
    await reports.publish('early', reportOf(1));
    expect(await reports.readAll()).toEqual([]);
    await enlist('early');
    expect(await reports.readAll()).toHaveLength(1);
    await strike('early');
    expect(await reports.readAll()).toEqual([]);
  });

  it('shows nothing of a worker that left', async () => {
    const { reports, enlist } = open();
    await enlist('a');
    await enlist('b');
    await reports.publish('a', reportOf(1));
    await reports.publish('b', reportOf(2));
    await reports.remove('a');
    await reports.remove('never there');
    expect(await reports.readAll()).toEqual([{ name: 'b', ...reportOf(2) }]);
  });

  it('forgets a report by itself when its time is over', async () => {
    const { reports, enlist } = open({ ttlMs: 50 });
    await enlist('a');
    await reports.publish('a', reportOf(1));
    await expect.poll(() => reports.readAll()).toEqual([]);
  });

  it('reads the reports of many workers', async () => {
    const { reports, enlist } = open();
    const names = Array.from({ length: 120 }, (_, i) => `worker-${String(i).padStart(3, '0')}`);
    await Promise.all(names.map((name) => enlist(name)));
    await Promise.all(names.map((name, i) => reports.publish(name, reportOf(i))));
    expect((await reports.readAll()).map(({ name, at }) => [name, at])).toEqual(
      names.map((name, i) => [name, i]),
    );
  });

  it('leaves out the sections of a report that is too large', async () => {
    const { reports, enlist } = open();
    await enlist('a');
    const report = reportOf(1, { sections: { upstreams: large(1) } });
    expect(await reports.publish('a', report)).toMatchObject({
      kind: 'trimmed',
      without: ['sections'],
    });
    expect(await reports.readAll()).toEqual([{ name: 'a', ...report, sections: {} }]);
  });

  it('leaves out the histograms, too, where it is still too large', async () => {
    const { reports, enlist } = open();
    await enlist('a');
    const report = reportOf(1);
    const metrics = [...report.metrics, { type: 'histogram', values: [large(1)] }];
    expect(await reports.publish('a', { ...report, metrics })).toMatchObject({
      kind: 'trimmed',
      without: ['sections', 'histograms'],
    });
    expect(await reports.readAll()).toEqual([{ name: 'a', ...report, sections: {} }]);
  });

  it('leaves out all metrics where even the counters are too large', async () => {
    const { reports, enlist } = open();
    await enlist('a');
    const outcome = await reports.publish('a', reportOf(1, { metrics: [large(1)] }));
    expect(outcome).toMatchObject({ kind: 'trimmed', without: ['sections', 'metrics'] });
    expect(await reports.readAll()).toEqual([{ name: 'a', at: 1, metrics: [], sections: {} }]);
  });

  it('counts bytes, not characters', async () => {
    const { reports } = open();
    const sections = { text: large(0.5).replaceAll('x', 'ü') };
    expect(await reports.publish('a', reportOf(1, { sections }))).toMatchObject({
      kind: 'trimmed',
    });
  });
}
