import { useSignal } from '@preact/signals';
import type { Signal } from '@preact/signals';
import { useRoute } from 'preact-iso';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { serverNow } from '../../api/server-clock.ts';
import { usePoll } from '../../api/use-poll.ts';
import { CopyButton, tell } from '../../ui/actions.tsx';
import { shortId } from '../../ui/format.ts';
import { Badge, Empty, Failure, Loading, PageHead, Panel } from '../../ui/panel.tsx';
import { useQueryState } from '../../ui/query-state.ts';
import { deliveriesOf, spread } from './deliveries.ts';
import { trackOf } from './log-items.ts';
import { withLostEnds } from './lost-attempts.ts';
import { Playback } from './playback.tsx';
import type { QueueAnswer } from '../queue/types.ts';
import { RequestActions } from './request-actions.tsx';
import type { ConfigPart } from './request-actions.tsx';
import { StatusBadge } from './request-columns.tsx';
import { gapText } from './strip.tsx';
import { Attempts, Events, Facts, Readers, RequestFigures, Seams } from './request-parts.tsx';
import type { RequestDetailView } from './request-parts.tsx';
import './requests.css';
import { stripOf } from './strip.ts';
import type { Strip } from './strip.ts';
import { StripLegend, StripView } from './strip.tsx';
import { useLog } from './use-log.ts';
import type { Log } from './use-log.ts';

/** Milliseconds between two looks at a request that has not ended. */
const everyMs = 1000;
/** Milliseconds around a seam that is looked at closer; at least its own length. */
const closerMs = 250;

/** Milliseconds after a request's end for which it is looked at: the ledger has its values somewhat later. */
const settleMs = 10_000;
/** Answers in a row that it does not exist, after which it is looked at no more. */
const mostMisses = 3;

const isOpenStatus = (status: string | undefined): boolean =>
  status === 'queued' || status === 'running';

/** One request: what happened to it, its answer as it came, and what can be done with it. */
export function RequestDetail() {
  const { id = '' } = useRoute().params;
  // A page of another request is another page.
  return <OneRequest id={id} key={id} />;
}

function OneRequest({ id }: { id: string }) {
  const [isPolling, setPolling] = useState(true);
  const answer = usePoll<RequestDetailView>(
    `requests/${encodeURIComponent(id)}`,
    isPolling ? everyMs : undefined,
  );
  const { data, failure, refresh } = answer;
  const config = usePoll<{ config: ConfigPart }>('config');
  const isOpen = isOpenStatus(data?.status);
  const log = useLog(id, isOpen, mayHaveLog(data, config));
  const isGone = failure?.status === 404;
  const isMoving = useSignal(false);
  const misses = useRef(0);
  useEffect(() => {
    misses.current = isGone ? misses.current + 1 : 0;
    if (misses.current >= mostMisses) setPolling(false);
  }, [data, failure]);
  const hasEnded = data !== undefined && !isOpen;
  const endedAt = data?.ended_at ?? null;
  useEffect(() => {
    if (!hasEnded) return;
    const since = endedAt === null ? 0 : serverNow() - Date.parse(endedAt);
    const left = Math.min(settleMs, settleMs - since);
    const timer = setTimeout(() => setPolling(false), Math.max(0, left));
    return () => clearTimeout(timer);
  }, [hasEnded, endedAt]);

  if (isGone && !data) return <NoRequest id={id} why={failure.message} />;
  // All at once: what arrives late would move what is below it.
  if (!data || (log.state === 'loading' && data.status !== 'queued')) {
    return (
      <>
        <PageHead title={`Request ${shortId(id)}`} />
        {failure ? <Failure failure={failure} retry={refresh} /> : <Loading what="the request" />}
      </>
    );
  }
  return (
    <>
      <PageHead
        title={`Request ${shortId(id)}`}
        lead={
          <span class="request-lead">
            <StatusBadge status={data.status} />
            {data.rescues > 0 && <Badge tone="seam">rescued</Badge>}
            <code>{data.id}</code>
            <CopyButton text={data.id} />
          </span>
        }
      >
        <RequestActions
          request={data}
          config={config.data?.config}
          refresh={refresh}
          onMoved={() => (isMoving.value = true)}
        />
      </PageHead>
      {failure && <Failure failure={failure} retry={refresh} />}
      {data.error && (
        <div class="failure">
          <p>{data.error.message}</p>
          <p class="note">
            <code>{data.error.code}</code>
          </p>
        </div>
      )}
      <RequestBody request={data} log={log} isMoving={isMoving} />
    </>
  );
}

/** `no`: it has left Redis, so nothing is asked. `later`: it is not known yet. */
function mayHaveLog(
  request: RequestDetailView | undefined,
  config: { data: { config: ConfigPart } | undefined; failure: unknown },
): 'yes' | 'no' | 'later' {
  if (!request || request.status === 'queued') return 'later';
  if (request.ended_at === null) return 'yes';
  if (config.failure !== undefined) return 'yes';
  if (!config.data) return 'later';
  const { retentionMs = Infinity } = config.data.config;
  return serverNow() - Date.parse(request.ended_at) > retentionMs ? 'no' : 'yes';
}

function RequestBody(props: {
  request: RequestDetailView;
  log: Log;
  /** An operator has moved it; set back when the pause is known. */
  isMoving: Signal<boolean>;
}) {
  const { request, log, isMoving } = props;
  const { id, status } = request;
  const isOpen = isOpenStatus(status);
  const now = useMemo(() => serverNow(), [request, log]);
  const found = useMemo(() => trackOf(log.items), [log.items]);
  // Only a track without times depends on the request, which is another one each second.
  const track = useMemo(
    () =>
      found.isTimed ? found : spread(found, deliveriesOf(withLostEnds(request, found), found, now)),
    found.isTimed ? [found, undefined, undefined] : [found, request, now],
  );
  const hasText = track.frames.length > 0;
  const isSilent = useIsSilent(track.frames.length, log.looks) && isOpen;
  const strip = useMemo(
    () => stripOf(request, hasText ? track : undefined, now, isSilent),
    [request, track, hasText, now, isSilent],
  );
  useMoveReport(strip, isMoving);
  const playhead = useSignal<number | undefined>(undefined);
  const [closer, setCloser] = useQueryState('seam');
  const range = rangeOf(strip, Number(closer));

  return (
    <>
      <Panel
        class={strip.seams.length > 0 ? 'saved' : ''}
        title="What happened"
        actions={<StripLegend />}
      >
        <StripView
          strip={strip}
          track={hasText ? track : undefined}
          playhead={playhead}
          range={range}
          seek={(at) => (playhead.value = at)}
        />
        <Seams
          seams={strip.seams}
          closer={range ? Number(closer) : undefined}
          look={(seam) => setCloser(seam === undefined ? '' : String(seam))}
          startedAt={strip.from}
        />
      </Panel>
      <Panel>
        <RequestFigures request={request} isOpen={isOpen} />
      </Panel>
      <div class="request-columns">
        <div>
          <Panel title="The answer" note={isOpen ? 'as it comes' : 'as its reader got it'}>
            <LogState id={id} log={log} status={status} hasText={hasText} />
            {hasText && (
              <Playback
                track={track}
                seams={strip.seams.filter((one) => !one.isOpen)}
                from={strip.from}
                to={strip.to}
                isOpen={isOpen}
                playhead={playhead}
              />
            )}
          </Panel>
          {isOpen && <Readers id={id} />}
          <Events events={request.events ?? []} startedAt={strip.from} />
        </div>
        <Facts request={request} workers={track.workers} />
      </div>
      <Attempts request={request} />
    </>
  );
}

/** Whether the newest look at the log of a running request brought no text. */
function useIsSilent(pieces: number, looks: number): boolean {
  const seen = useRef({ pieces, looks });
  if (seen.current.pieces !== pieces) seen.current = { pieces, looks };
  return pieces > 0 && looks > seen.current.looks;
}

/** Says how long the pause of an operator's move was, as soon as the answer goes on. */
function useMoveReport({ seams }: Strip, isMoving: Signal<boolean>): void {
  const moved = seams.filter(({ isOpen, cut }) => !isOpen && cut?.outcome === 'moved');
  const known = useRef(moved.length);
  const newest = moved.at(-1);
  useEffect(() => {
    if (newest && moved.length > known.current && isMoving.value) {
      isMoving.value = false;
      tell(
        `The answer goes on at ${newest.next?.provider ?? 'another target'}: the pause was ${gapText(newest)}.`,
      );
    }
    known.current = moved.length;
  }, [moved.length]);
}

function rangeOf(strip: Strip, number: number): { from: number; to: number } | undefined {
  const seam = strip.seams.find((one) => one.number === number);
  if (!seam) return undefined;
  const around = Math.max(closerMs, seam.gapMs);
  return {
    from: Math.max(strip.from, seam.from - around),
    to: Math.min(strip.to, seam.to + around),
  };
}

/** Why the answer cannot be shown, or not all of it. */
function LogState(props: { id: string; log: Log; status: string; hasText: boolean }) {
  const { id, log, status, hasText } = props;
  if (status === 'queued') return <WhyItWaits id={id} />;
  if (log.state === 'failed' && log.failure)
    return <Failure failure={log.failure} retry={log.refresh} />;
  if (log.state === 'expired') {
    return (
      <Empty>
        <p>The log of this stream is not kept any more.</p>
        <p>Its times, attempts and figures remain in the ledger.</p>
      </Empty>
    );
  }
  if (log.isTruncated) {
    return <p class="note">The answer is longer than this page shows: it has the first part.</p>;
  }
  if (hasText) return null;
  return (
    <Empty>
      {status === 'running' ? 'It waits for the first text.' : 'No text was delivered.'}
    </Empty>
  );
}

/** Requests of the queue among which the reason is looked for. */
const mostWaiting = 200;

function WhyItWaits({ id }: { id: string }) {
  const { data } = usePoll<QueueAnswer>(`queue?limit=${mostWaiting}`, everyMs);
  const found = data?.data.find((one) => one.id === id);
  return (
    <Empty>
      <p>
        It waits in the <a href="/admin/console/queue">queue</a>: there is no answer yet.
      </p>
      {found && <p>{found.reason}</p>}
    </Empty>
  );
}

function NoRequest({ id, why }: { id: string; why: string }) {
  return (
    <>
      <PageHead title="No such request" lead={<code>{id}</code>} />
      <Panel>
        <Empty>
          <p>{why}</p>
          <p>
            It may have been there once: its record is deleted when the ledger’s retention has
            passed. <a href="/admin/console/requests">All requests</a>
          </p>
        </Empty>
      </Panel>
    </>
  );
}
