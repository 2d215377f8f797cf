import { usePoll } from '../../api/use-poll.ts';
import type { Live } from '../../api/types.ts';
import { count, duration, shortId, unknown } from '../../ui/format.ts';
import { Empty, Figure, Figures, Panel } from '../../ui/panel.tsx';
import { isOver, tokensPerSecond } from './transcript.ts';
import type { AttemptSeen, Transcript } from './transcript.ts';
import type { Answer } from './use-answer.ts';

/** Milliseconds between two looks at which worker runs the request. */
const workerEveryMs = 1000;

/** The facts of the answer while it comes: attempts, times, pauses. */
export function FactsPanel({ answer }: { answer: Answer | undefined }) {
  if (!answer) {
    return (
      <Panel title="Facts">
        <Empty>Attempts, first token, pauses.</Empty>
      </Panel>
    );
  }
  const { transcript, id } = answer;
  const { attempts, seams, sentAt, firstAt, tokens, outputTokens } = transcript;
  const served = attempts.at(-1);
  const pauses = seams.map(({ gapMs }) => gapMs).filter((ms) => ms !== undefined);
  const rate = tokensPerSecond(transcript);
  return (
    <Panel
      title="Facts"
      note={
        id !== undefined && (
          <a href={`/admin/console/requests/${encodeURIComponent(id)}`}>
            request <code>{shortId(id)}</code>
          </a>
        )
      }
    >
      <Figures>
        <Figure
          label="First token"
          value={duration(firstAt === undefined ? undefined : firstAt - sentAt)}
        />
        <Figure label="Tokens" value={count(outputTokens ?? tokens)} />
        <Figure label="Tokens per second" value={rate === undefined ? unknown : rate.toFixed(1)} />
        <Figure
          label={pauses.length > 1 ? 'Longest pause' : 'Pause'}
          tone={pauses.length > 0 ? 'seam' : 'quiet'}
          value={pauses.length === 0 ? 'none' : duration(Math.max(...pauses))}
          note={pauses.length > 1 ? `of ${pauses.length}` : undefined}
        />
      </Figures>
      <dl class="facts">
        <dt>Served by</dt>
        <dd>{served ? `${served.provider}/${served.model}` : unknown}</dd>
        <dt>Worker</dt>
        <dd>
          <WorkerName answer={answer} />
        </dd>
        <dt>Finish reason</dt>
        <dd>{transcript.finishReason ?? unknown}</dd>
      </dl>
      <Attempts attempts={attempts} transcript={transcript} />
    </Panel>
  );
}

function WorkerName({ answer }: { answer: Answer }) {
  const isRunning = !isOver(answer.transcript);
  const live = usePoll<Live>(isRunning ? 'live' : undefined, workerEveryMs);
  const found = live.data?.running.find(({ id }) => id === answer.id);
  if (!isRunning) return <>its run has ended</>;
  return <>{found?.worker ?? unknown}</>;
}

function Attempts(props: { attempts: readonly AttemptSeen[]; transcript: Transcript }) {
  const { attempts, transcript } = props;
  if (attempts.length === 0) return null;
  return (
    <ol class="attempts" aria-label="Attempts">
      {attempts.map((one, index) => {
        const runs = index > 0 && attempts[index - 1]?.run !== one.run;
        const isSeam = transcript.seams.some(({ to }) => to === one);
        return (
          <li key={`${one.run}-${one.attempt}`} data-tone={isSeam ? 'seam' : undefined}>
            <strong>{one.provider}</strong> <span class="note">{one.mode}</span>
            {runs && <span class="note"> · another worker (run {one.run})</span>}
            <br />
            <code title={one.model}>{one.model}</code>
            <span class="note"> · after {duration(one.at - transcript.sentAt)}</span>
          </li>
        );
      })}
    </ol>
  );
}
