import { useState } from 'preact/hooks';
import { setClientKey } from '../../api/client-key.ts';
import { call } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import { CodeBlock, Dialog } from '../../ui/actions.tsx';
import { Field } from '../../ui/field.tsx';
import { errorsByField } from './form-values.ts';
import type { KeyWithSecret } from './types.ts';

/** The new secret of a key: it is shown here, and nowhere again. */
export function SecretDialog(props: { of: KeyWithSecret; onClose(): void }) {
  const { id, secret } = props.of;
  return (
    <Dialog title={`The secret of ${id}`} isSticky onClose={props.onClose}>
      <p>
        <strong>Copy it now: it is shown once.</strong> Only its digest is kept, so it cannot be
        shown again. If it is lost, rotate the key.
      </p>
      <CodeBlock text={secret} />
      <div class="actions">
        <a class="button" href="/admin/console/setup" onClick={() => setClientKey(secret)}>
          Set a client up with it
        </a>
        <button type="button" class="primary" onClick={props.onClose}>
          I have it
        </button>
      </div>
    </Dialog>
  );
}

const graces: readonly [value: string, title: string][] = [
  ['0', 'not at all: they end now, with what is open'],
  ['10m', '10 minutes'],
  ['1h', '1 hour'],
  ['24h', '24 hours'],
  ['7d', '7 days'],
  ['30d', '30 days'],
];

/** Gives a key a new secret. */
export function RotateDialog(props: {
  id: string;
  onClose(): void;
  onDone(key: KeyWithSecret): void;
}) {
  const { id, onClose, onDone } = props;
  const [grace, setGrace] = useState('24h');
  const [errors, setErrors] = useState<ReadonlyMap<string, string>>(new Map());
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const path = `keys/${encodeURIComponent(id)}/rotate`;
      onDone(await call<KeyWithSecret>(path, { method: 'POST', body: { grace } }));
    } catch (error) {
      const { message, param } = toFailure(error);
      setErrors(errorsByField(message, param));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Rotate ${id}`} onClose={onClose}>
      <form class="key-form" onSubmit={(event) => void submit(event)}>
        <p>The key gets a new secret. Clients have the grace time to change to it.</p>
        {errors.has('') && (
          <p class="failure" role="alert">
            {errors.get('')}
          </p>
        )}
        <Field label="The old secrets stay valid for" error={errors.get('grace')}>
          {(control) => (
            <select
              {...control}
              value={grace}
              onChange={(event) => setGrace(event.currentTarget.value)}
            >
              {graces.map(([value, title]) => (
                <option key={value} value={value}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
        <div class="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={isBusy}>
            Rotate
          </button>
        </div>
      </form>
    </Dialog>
  );
}
