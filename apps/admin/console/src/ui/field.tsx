import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

/** What a control of a `Field` needs, so that a screen reader reads its note and its error with it. */
export type FieldControl = {
  id: string;
  'aria-describedby': string | undefined;
  'aria-invalid': true | undefined;
};

/** A field of a form with its label, a note, and what the API says is wrong with it. */
export function Field(props: {
  label: ComponentChildren;
  note?: ComponentChildren;
  error?: string | undefined;
  children: (control: FieldControl) => ComponentChildren;
}) {
  const id = useId();
  const { label, note, error } = props;
  const described = [note !== undefined && `${id}-note`, error !== undefined && `${id}-error`];
  const text = described.filter((one) => one !== false).join(' ');
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {props.children({
        id,
        'aria-describedby': text === '' ? undefined : text,
        'aria-invalid': error === undefined ? undefined : true,
      })}
      {note !== undefined && (
        <span class="note" id={`${id}-note`}>
          {note}
        </span>
      )}
      {error !== undefined && (
        <span class="field-error" id={`${id}-error`} role="alert">
          {error}
        </span>
      )}
    </div>
  );
}
