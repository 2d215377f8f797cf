import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { toFailure } from '../api/use-poll.ts';

/* What an operator does on a page: buttons that call the API, copy, dialogs, and the message that says how it went. */

export type Notice = { text: string; tone: 'good' | 'bad' };

/** The newest message; the shell shows it until it is dismissed or `noticeMs` are over. */
export const notice = signal<Notice | undefined>(undefined);

const noticeMs = 6000;
let noticeTimer: ReturnType<typeof setTimeout> | undefined;

export function tell(text: string, tone: Notice['tone'] = 'good'): void {
  clearTimeout(noticeTimer);
  notice.value = { text, tone };
  noticeTimer = setTimeout(() => (notice.value = undefined), noticeMs);
}

/** How many actions have been carried out on this page. */
export const actionsDone = signal(0);

/**
 * A button that does something at the API: disabled while it is under way; its error is shown. With `confirm`, it asks
 * first, in these words.
 */
export function ActionButton(props: {
  act(): Promise<string | void>;
  confirm?: string;
  tone?: 'danger' | 'primary';
  disabled?: boolean;
  title?: string;
  children: ComponentChildren;
}) {
  const [isBusy, setBusy] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const run = async () => {
    setAsking(false);
    setBusy(true);
    try {
      const done = await props.act();
      actionsDone.value += 1;
      if (typeof done === 'string') tell(done);
    } catch (error) {
      tell(toFailure(error).message, 'bad');
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button
        type="button"
        class={props.tone}
        title={props.title}
        disabled={isBusy || props.disabled === true}
        onClick={() => (props.confirm === undefined ? void run() : setAsking(true))}
      >
        {props.children}
      </button>
      {isAsking && props.confirm !== undefined && (
        <Dialog title="Are you sure?" onClose={() => setAsking(false)}>
          <p>{props.confirm}</p>
          <div class="actions">
            <button type="button" onClick={() => setAsking(false)}>
              No
            </button>
            <button type="button" class={props.tone ?? 'primary'} onClick={() => void run()}>
              Yes: {props.children}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** A modal dialog. Escape and a click beside it close it, unless it `isSticky`: it shows what cannot be seen again. */
export function Dialog(props: {
  title: string;
  onClose(): void;
  isSticky?: boolean;
  class?: string;
  children: ComponentChildren;
}) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  const pressedOn = useRef<EventTarget | null>(null);
  return (
    <dialog
      ref={element}
      class={props.class}
      aria-label={props.title}
      onClose={props.onClose}
      onKeyDown={props.isSticky === true ? keepOpen : undefined}
      onCancel={(event) => props.isSticky === true && event.preventDefault()}
      // A mark that begins in a field may end beside the dialog.
      onPointerDown={(event) => (pressedOn.current = event.target)}
      onClick={(event) => {
        const isBeside = event.target === element.current && pressedOn.current === event.target;
        if (isBeside && props.isSticky !== true) element.current?.close();
      }}
    >
      <div class="dialog-body">
        <h2>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}

/** A browser lets a page refuse one Escape; the second one would close the dialog. */
export function keepOpen(event: KeyboardEvent): void {
  if (event.key === 'Escape') event.preventDefault();
}

/** Copies a text, and says so. */
export function CopyButton({ text, label }: { text: string; label?: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell('Copied.');
    } catch {
      // Without TLS a browser has no clipboard for any host but localhost.
      tell('The browser does not allow this page to copy: mark the text and copy it.', 'bad');
    }
  };
  return (
    <button type="button" class="copy" onClick={() => void copy()} title="Copy">
      {label ?? 'Copy'}
    </button>
  );
}

/** A text to copy in one piece: a command, a config, an answer. */
export function CodeBlock({ text, label }: { text: string; label?: string }) {
  return (
    <div class="code-block">
      <CopyButton text={text} {...(label === undefined ? {} : { label })} />
      <pre tabIndex={0}>{text}</pre>
    </div>
  );
}
