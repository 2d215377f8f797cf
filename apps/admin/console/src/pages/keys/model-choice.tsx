import { useId } from 'preact/hooks';
import type { FormValues } from './form-values.ts';

/** Which models a key may ask for: all, or some of the config's. A model that left the config stays in the list of its keys. */
export function ModelChoice(props: {
  values: Pick<FormValues, 'allModels' | 'models'>;
  aliases: readonly string[];
  error: string | undefined;
  set(changed: Partial<FormValues>): void;
}) {
  const { values, aliases, error, set } = props;
  const id = useId();
  const listed = [...new Set([...aliases, ...values.models])];
  const toggle = (alias: string, isChosen: boolean) =>
    set({
      models: isChosen ? [...values.models, alias] : values.models.filter((one) => one !== alias),
    });
  return (
    <fieldset aria-describedby={error === undefined ? undefined : `${id}-error`}>
      <legend>Models</legend>
      <label class="check">
        <input
          type="checkbox"
          checked={values.allModels}
          onChange={(event) => set({ allModels: event.currentTarget.checked })}
        />
        All, also those that the config will have later
      </label>
      {!values.allModels && (
        <div class="model-list">
          {listed.map((alias) => (
            <label class="check" key={alias}>
              <input
                type="checkbox"
                checked={values.models.includes(alias)}
                aria-invalid={error === undefined ? undefined : true}
                onChange={(event) => toggle(alias, event.currentTarget.checked)}
              />
              {alias}
              {!aliases.includes(alias) && <span class="note"> not in the config</span>}
            </label>
          ))}
        </div>
      )}
      {error !== undefined && (
        <p class="field-error" role="alert" id={`${id}-error`}>
          {error}
        </p>
      )}
    </fieldset>
  );
}
