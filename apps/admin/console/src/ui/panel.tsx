import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { ApiFailure } from '../api/client.ts';

/* The parts that every page is made of: page head, panel, figures, and what stands in for missing data. */

/** The path of the page whose title was shown last. */
let headedPath = location.pathname;

/** The title of a page, with its actions at the right. */
export function PageHead(props: {
  title: string;
  lead?: ComponentChildren;
  children?: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Keyboard and screen reader go to a page that was opened from another one.
    if (headedPath !== location.pathname) heading.current?.focus({ preventScroll: true });
    headedPath = location.pathname;
  }, []);
  return (
    <header class="page-head">
      <div>
        <h1 tabIndex={-1} ref={heading}>
          {props.title}
        </h1>
        {props.lead !== undefined && <p class="lead">{props.lead}</p>}
      </div>
      {props.children !== undefined && <div class="actions">{props.children}</div>}
    </header>
  );
}

export function Panel(props: {
  title?: ComponentChildren;
  /** Shown beside the title. */
  note?: ComponentChildren;
  actions?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}) {
  return (
    <section class={`panel ${props.class ?? ''}`}>
      {props.title !== undefined && (
        <div class="panel-head">
          <h2>{props.title}</h2>
          {props.note !== undefined && <span class="note">{props.note}</span>}
          {props.actions !== undefined && <div class="actions">{props.actions}</div>}
        </div>
      )}
      {props.children}
    </section>
  );
}

/** A figure with its name. `tone` colours it by what it means. */
export function Figure(props: {
  label: ComponentChildren;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: Tone;
  size?: 'large';
}) {
  return (
    <div class={`figure ${props.size ?? ''}`} data-tone={props.tone}>
      <dt>{props.label}</dt>
      <dd>
        <span class="value">{props.value}</span>
        {props.note !== undefined && <span class="note">{props.note}</span>}
      </dd>
    </div>
  );
}

/** A row of figures. */
export const Figures = ({ children }: { children: ComponentChildren }) => (
  <dl class="figures">{children}</dl>
);

/** `seam`: a stream that was rescued; the colour of what only Millrace shows. */
export type Tone = 'good' | 'bad' | 'warn' | 'seam' | 'info' | 'quiet';

export function Badge({ tone, children }: { tone?: Tone; children: ComponentChildren }) {
  return (
    <span class="badge" data-tone={tone ?? 'quiet'}>
      {children}
    </span>
  );
}

/** Why there is nothing to show, and what to do about it. */
export const Empty = ({ children }: { children: ComponentChildren }) => (
  <div class="empty">{children}</div>
);

export const Loading = ({ what }: { what: string }) => (
  <div class="loading" role="status">
    Loading {what} …
  </div>
);

/** An error of the API in its own words. */
export function Failure({ failure, retry }: { failure: ApiFailure; retry?: () => void }) {
  return (
    <div class="failure" role="alert">
      <p>{failure.message}</p>
      <p class="note">
        <code>{failure.code}</code>
        {failure.requestId !== undefined && (
          <>
            {' · '}
            <code>{failure.requestId}</code>
          </>
        )}
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** What a page shows of a polled answer: its failure above its last data, or that it is loading. */
export function Answer<T>(props: {
  of: { data: T | undefined; failure: ApiFailure | undefined; refresh(): void };
  what: string;
  children: (data: T) => ComponentChildren;
}) {
  const { data, failure, refresh } = props.of;
  return (
    <>
      {failure && <Failure failure={failure} retry={refresh} />}
      {data === undefined ? !failure && <Loading what={props.what} /> : props.children(data)}
    </>
  );
}
