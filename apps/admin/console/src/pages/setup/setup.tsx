import { clientKey, setClientKey } from '../../api/client-key.ts';
import { useModels } from '../../api/models-api.ts';
import { CodeBlock } from '../../ui/actions.tsx';
import { PageHead, Panel } from '../../ui/panel.tsx';
import { useQueryState } from '../../ui/query-state.ts';
import { chooseModel } from '../playground/draft.ts';
import { recipesFor } from './recipes.ts';
import type { Recipe } from './recipes.ts';
import './setup.css';

/** Clients want a key to send, also where none is asked for. */
const anyKey = 'none-needed';

/** What to copy into clients and SDKs so that they ask this ingress. */
export function ClientSetup() {
  const { names, failure } = useModels();
  const [wanted, setWanted] = useQueryState('model');
  const model = chooseModel(names ?? [], wanted);
  const needsKey = failure?.status === 401;
  const key = clientKey.value || (needsKey ? 'YOUR_API_KEY' : anyKey);
  const recipes = recipesFor({
    origin: location.origin,
    key,
    model: model === '' ? 'MODEL' : model,
  });
  return (
    <>
      <PageHead
        title="Client setup"
        lead="Millrace speaks OpenAI's chat completions: a client needs its address, a key and a model. Clients that only speak Anthropic's messages or OpenAI's responses are not served."
      />
      <Panel>
        <div class="fields">
          <label>
            API key
            <input
              type="password"
              autocomplete="off"
              spellcheck={false}
              placeholder={needsKey ? 'needed here' : 'none needed'}
              value={clientKey.value}
              // Not with each character: the key is sent to find its models.
              onChange={(event) => setClientKey(event.currentTarget.value)}
            />
          </label>
          <label>
            Model
            <select value={model} onChange={(event) => setWanted(event.currentTarget.value)}>
              {model === '' && <option value="">MODEL</option>}
              {(names ?? (model === '' ? [] : [model])).map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <label>
            Base URL
            <input readOnly value={`${location.origin}/v1`} />
          </label>
        </div>
        {needsKey && (
          <p class="note setup-note">
            This fleet asks for an API key. <a href="/admin/console/keys">Create one</a> and type it
            here: it is filled in below, and only this browser tab keeps it.
          </p>
        )}
      </Panel>
      <div class="recipe-links">
        {recipes.map(({ id, title }) => (
          <a key={id} href={`#${id}`} onClick={(event) => reveal(event, id)}>
            {title}
          </a>
        ))}
      </div>
      <div class="recipes">
        {recipes.map((recipe) => (
          <RecipePanel key={recipe.id} recipe={recipe} />
        ))}
      </div>
    </>
  );
}

/** The router would take a link to a part of this page for another page. */
function reveal(event: Event, id: string): void {
  event.preventDefault();
  event.stopPropagation();
  document.querySelector(`#recipe-${id}`)?.scrollIntoView({ block: 'start' });
}

function RecipePanel({ recipe: { id, title, note, install, text } }: { recipe: Recipe }) {
  return (
    <div id={`recipe-${id}`}>
      <Panel title={title}>
        {note !== undefined && <p class="note setup-note">{note}</p>}
        {install !== undefined && <CodeBlock text={install} />}
        <CodeBlock text={text} />
      </Panel>
    </div>
  );
}
