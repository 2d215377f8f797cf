import { useRef, useState } from 'preact/hooks';
import { call } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import { Dialog, tell } from '../../ui/actions.tsx';
import { Field } from '../../ui/field.tsx';
import { bodyOf, budgetNames, errorsByField, limitNames, valuesOf } from './form-values.ts';
import type { FormValues } from './form-values.ts';
import { ModelChoice } from './model-choice.tsx';
import type { Key, KeyWithSecret, Priority } from './types.ts';

const limitLabels: Record<(typeof limitNames)[number], string> = {
  requestsPerMinute: 'Requests per minute',
  tokensPerMinute: 'Tokens per minute',
  concurrent: 'At the same time',
};

const budgetLabels: Record<(typeof budgetNames)[number], string> = {
  day: 'USD per day',
  month: 'USD per month',
  tokensPerDay: 'Tokens per day',
  tokensPerMonth: 'Tokens per month',
};

/** Creates a key, or changes `key`. `aliases`: the models of the config. */
export function KeyForm(props: {
  of?: Key;
  aliases: readonly string[];
  onClose(): void;
  onDone(key: Key | KeyWithSecret): void;
}) {
  const { of: key, aliases, onClose, onDone } = props;
  const [before] = useState(() => valuesOf(key));
  const [values, setValues] = useState(before);
  const [errors, setErrors] = useState<ReadonlyMap<string, string>>(new Map());
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const set = (changed: Partial<FormValues>) => setValues((now) => ({ ...now, ...changed }));

  const submit = async (event: Event) => {
    event.preventDefault();
    const body = bodyOf(values, key && before);
    if (key && Object.keys(body).length === 0) {
      tell('Nothing was changed.');
      onClose();
      return;
    }
    setBusy(true);
    try {
      const path = key ? `keys/${encodeURIComponent(key.id)}` : 'keys';
      onDone(await call<Key>(path, { method: key ? 'PATCH' : 'POST', body }));
    } catch (error) {
      const { message, param } = toFailure(error);
      setErrors(errorsByField(message, param));
      setBusy(false);
      // After the fields have their errors.
      setTimeout(() => form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus());
    }
  };

  return (
    <Dialog title={key ? `Change ${key.id}` : 'Create a key'} class="wide" onClose={onClose}>
      <form ref={form} class="key-form" noValidate onSubmit={(event) => void submit(event)}>
        {errors.has('') && (
          <p class="failure" role="alert">
            {errors.get('')}
          </p>
        )}
        {!key && (
          <Field
            label="Id"
            note="Letters, digits and . _ - @ : – it stands in logs, metrics and URLs, and does not change."
            error={errors.get('id')}
          >
            {(control) => (
              <input
                {...control}
                value={values.id}
                autofocus
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => set({ id: event.currentTarget.value })}
              />
            )}
          </Field>
        )}
        <ModelChoice values={values} aliases={aliases} error={errors.get('models')} set={set} />
        <fieldset>
          <legend>Limits, over all ingresses; empty: none</legend>
          <GroupError text={errors.get('limits')} />
          <div class="fields">
            {limitNames.map((name) => (
              <Field key={name} label={limitLabels[name]} error={errors.get(`limits.${name}`)}>
                {(control) => (
                  <input
                    {...control}
                    inputMode="numeric"
                    value={values.limits[name]}
                    onInput={(event) =>
                      set({ limits: { ...values.limits, [name]: event.currentTarget.value } })
                    }
                  />
                )}
              </Field>
            ))}
          </div>
        </fieldset>
        <fieldset>
          <legend>Budget, by days and months of UTC; empty: none</legend>
          <GroupError text={errors.get('budget')} />
          <div class="fields">
            {budgetNames.map((name) => (
              <Field key={name} label={budgetLabels[name]} error={errors.get(`budget.${name}`)}>
                {(control) => (
                  <input
                    {...control}
                    inputMode="decimal"
                    value={values.budget[name]}
                    onInput={(event) =>
                      set({ budget: { ...values.budget, [name]: event.currentTarget.value } })
                    }
                  />
                )}
              </Field>
            ))}
          </div>
        </fieldset>
        <div class="fields">
          <Field label="Priority" error={errors.get('priority')}>
            {(control) => (
              <select
                {...control}
                value={values.priority}
                onChange={(event) => set({ priority: event.currentTarget.value as Priority })}
              >
                <option value="high">high</option>
                <option value="normal">normal</option>
                <option value="low">low</option>
              </select>
            )}
          </Field>
          <Field label="Weight" note="share within its priority" error={errors.get('weight')}>
            {(control) => (
              <input
                {...control}
                inputMode="numeric"
                value={values.weight}
                onInput={(event) => set({ weight: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Expires" note="local time; empty: never" error={errors.get('expires_at')}>
            {(control) => (
              <input
                {...control}
                type="datetime-local"
                value={values.expiresAt}
                onInput={(event) => set({ expiresAt: event.currentTarget.value })}
              />
            )}
          </Field>
        </div>
        <Field
          label="Addresses"
          note="Addresses and CIDR ranges, one a line; empty: from anywhere"
          error={errors.get('ips')}
        >
          {(control) => (
            <textarea
              {...control}
              rows={2}
              spellcheck={false}
              value={values.ips}
              onInput={(event) => set({ ips: event.currentTarget.value })}
            />
          )}
        </Field>
        <label class="check">
          <input
            type="checkbox"
            checked={values.debug}
            onChange={(event) => set({ debug: event.currentTarget.checked })}
          />
          Record its requests in the debug log, prompts and answers included
        </label>
        <div class="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={isBusy}>
            {key ? 'Save' : 'Create'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const GroupError = ({ text }: { text: string | undefined }) =>
  text === undefined ? null : (
    <p class="field-error" role="alert">
      {text}
    </p>
  );
