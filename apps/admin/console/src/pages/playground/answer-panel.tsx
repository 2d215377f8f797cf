import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { duration } from '../../ui/format.ts';
import { Badge, Empty, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { eventsOf } from './events.ts';
import { clockNow } from './kept.ts';
import { isOver, maxTextLength } from './transcript.ts';
import type { Piece, Seam, Status, Transcript } from './transcript.ts';
import type { Answer } from './use-answer.ts';

const tones: Record<Status, Tone> = {
  sending: 'quiet',
  queued: 'warn',
  running: 'info',
  completed: 'good',
  failed: 'bad',
  cancelled: 'quiet',
};

/** The answer as its reader gets it, each seam at its place, and what happened in sentences. */
export function AnswerPanel({ answer, goOn }: { answer: Answer | undefined; goOn(): void }) {
  if (!answer) {
    return (
      <Panel title="Answer">
        <Empty>Send the message: the answer streams here.</Empty>
      </Panel>
    );
  }
  const { transcript, faults } = answer;
  const events = eventsOf(transcript, faults);
  return (
    <Panel
      title="Answer"
      note={<Badge tone={tones[transcript.status]}>{transcript.status}</Badge>}
      actions={
        transcript.status === 'completed' && (
          <button type="button" onClick={goOn}>
            Ask further
          </button>
        )
      }
    >
      <AnswerText transcript={transcript} />
      <ul class="answer-events" aria-live="polite" aria-label="What happened">
        {events.map(({ key, text, tone }) => (
          <li key={key} data-tone={tone}>
            {text}
          </li>
        ))}
        {answer.isReconnecting && <li data-tone="quiet">The connection broke; reading on …</li>}
      </ul>
      {transcript.error && (
        <div class="failure" role="alert">
          <p>{transcript.error.message}</p>
          <p class="note">
            <code>{transcript.error.code}</code>
          </p>
        </div>
      )}
      {transcript.length >= maxTextLength && (
        <p class="note">The answer is longer than this page shows; the rest is counted.</p>
      )}
    </Panel>
  );
}

/** Pixels from its end within which the text counts as read to its end, and follows what comes. */
const nearEndPx = 40;

function AnswerText({ transcript }: { transcript: Transcript }) {
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const over = isOver(transcript);
  useLayoutEffect(() => {
    if (box.current && follows.current) box.current.scrollTop = box.current.scrollHeight;
  }, [transcript]);
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    follows.current = element.scrollHeight - element.scrollTop - element.clientHeight < nearEndPx;
  };
  return (
    <div
      class="answer"
      ref={box}
      onScroll={onScroll}
      tabIndex={0}
      role="region"
      aria-label="Text of the answer"
      aria-busy={!over}
    >
      {transcript.pieces.map((piece, index) => (
        <PieceView key={index} piece={piece} seams={transcript.seams} />
      ))}
      {!over && <Caret transcript={transcript} />}
    </div>
  );
}

function PieceView({ piece, seams }: { piece: Piece; seams: readonly Seam[] }) {
  if (piece.kind === 'answer') return <span>{piece.text}</span>;
  if (piece.kind !== 'seam') return <span class={`piece-${piece.kind}`}>{piece.text}</span>;
  const seam = seams[piece.index];
  if (!seam) return null;
  const gap = seam.gapMs === undefined ? '…' : `${Math.round(seam.gapMs).toLocaleString('en')} ms`;
  return (
    <mark class="seam" title={`${seam.to.provider}/${seam.to.model} continues: ${seam.to.mode}`}>
      <span class="sr-only">Seam: </span>
      {gap} · {seam.to.provider}
    </mark>
  );
}

/** Milliseconds without text after which the page shows how long nothing has come. */
const pauseShownFrom = 300;
/** Milliseconds between two looks at the clock. */
const clockEveryMs = 50;

/** Where the next text comes; counts the pause while there is one. */
function Caret({ transcript }: { transcript: Transcript }) {
  const [now, setNow] = useState(() => clockNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(clockNow()), clockEveryMs);
    return () => clearInterval(timer);
  }, []);
  const { lastAt, sentAt, queue } = transcript;
  const silent = now - (lastAt ?? sentAt);
  if (lastAt === undefined) {
    return (
      <span class="waiting">
        {queue && queue.position > 0
          ? `${queue.position} before it in the queue`
          : 'waiting for the first token'}{' '}
        {duration(Math.max(0, silent))}
      </span>
    );
  }
  return (
    <span class="caret" data-paused={silent > pauseShownFrom}>
      {silent > pauseShownFrom && <>pause {Math.round(silent).toLocaleString('en')} ms</>}
    </span>
  );
}
