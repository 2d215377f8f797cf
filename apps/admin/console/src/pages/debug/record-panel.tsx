import { useState } from 'preact/hooks';
import { CodeBlock, CopyButton } from '../../ui/actions.tsx';
import { bytes, clock, count, duration } from '../../ui/format.ts';
import { Badge, Panel } from '../../ui/panel.tsx';
import { asCurl, readable, withPauses } from './records.ts';
import type { DebugRecord } from './records.ts';

/** Events that are shown at first: an answer may have thousands. */
const firstEvents = 200;
/** A pause before a piece that is worth a look. */
const longPauseMs = 1000;

/** One upstream call. All texts of it are shown as text. */
export function RecordPanel({ of: record, title }: { of: DebugRecord; title: string }) {
  const { sent, answer } = record;
  return (
    <Panel
      title={title}
      note={
        <>
          {record.provider}/{record.target_model} · {clock(record.started_at)} ·{' '}
          {duration(record.ended_at - record.started_at)} · {record.worker}
        </>
      }
      actions={
        <>
          <Badge tone={record.outcome === 'completed' ? 'good' : 'bad'}>{record.outcome}</Badge>
          <CopyButton text={asCurl(record, 'https://PROVIDER')} label="Copy as curl" />
        </>
      }
    >
      {record.omitted_bytes > 0 && (
        <p class="failure">
          {bytes(record.omitted_bytes)} were left out: the record was larger than its bound.
        </p>
      )}
      <div class="calls">
        <div>
          <h3>Sent to {sent.path}</h3>
          <Headers of={sent.headers} />
          <CodeBlock text={readable(sent.body)} />
        </div>
        <div>
          {answer ? (
            <>
              <h3>
                Answered {answer.status} after {duration(answer.head_ms)}
              </h3>
              <Headers of={answer.headers} />
              <Events of={answer} />
            </>
          ) : (
            <h3>No answer began</h3>
          )}
        </div>
      </div>
    </Panel>
  );
}

const Headers = ({ of: headers }: { of: Readonly<{ [name: string]: string }> }) => (
  <details>
    <summary>{count(Object.keys(headers).length)} headers, without secrets</summary>
    <dl class="facts mono">
      {Object.entries(headers).map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  </details>
);

function Events({ of: answer }: { of: NonNullable<DebugRecord['answer']> }) {
  const [isWhole, setWhole] = useState(false);
  const events = withPauses(answer.events);
  const shown = isWhole ? events : events.slice(0, firstEvents);
  const text = answer.events.map((event) => event.text).join('');
  if (events.length === 1 && answer.encoding === undefined) {
    return <CodeBlock text={readable(text)} />;
  }
  return (
    <>
      <p class="note">
        {count(events.length)} pieces as they came
        {answer.encoding === 'base64' && ', compressed by the provider and shown as base64'}{' '}
        <CopyButton text={text} label="Copy all" />
      </p>
      <ol class="events" tabIndex={0}>
        {shown.map(({ ms, text: piece, pauseMs }, index) => (
          <li key={index}>
            <span class="at" data-tone={pauseMs >= longPauseMs ? 'warn' : undefined}>
              {duration(ms)}
            </span>
            <pre>{piece.trimEnd()}</pre>
          </li>
        ))}
      </ol>
      {shown.length < events.length && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {count(events.length)}
        </button>
      )}
    </>
  );
}
