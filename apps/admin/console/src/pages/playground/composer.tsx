import { useState } from 'preact/hooks';
import { clientKey, setClientKey } from '../../api/client-key.ts';
import { Panel } from '../../ui/panel.tsx';
import { maxMessages } from './draft.ts';
import type { Draft, Message } from './draft.ts';

export type ComposerProps = {
  draft: Draft;
  change(draft: Draft): void;
  /** Undefined: not known yet. */
  models: readonly string[] | undefined;
  model: string;
  chooseModel(name: string): void;
  needsKey: boolean;
  isStreaming: boolean;
  canKill: boolean;
  /** `kills`: kill the worker in the middle of the answer. */
  send(kills: boolean): void;
  stop(): void;
};

const roles: readonly Message['role'][] = ['system', 'user', 'assistant'];

/** The request: model, messages, and the few fields that one tries. */
export function Composer(props: ComposerProps) {
  const { draft, change, models, model, isStreaming } = props;
  const { messages } = draft;
  const canSend =
    model !== '' && !isStreaming && messages.some(({ content }) => content.trim() !== '');
  const submit = (event: Event) => {
    event.preventDefault();
    if (canSend) props.send(false);
  };
  const setMessage = (index: number, message: Message) =>
    change({ ...draft, messages: messages.map((one, at) => (at === index ? message : one)) });

  return (
    <Panel class="composer">
      <form onSubmit={submit}>
        <div class="composer-fields">
          <ModelField
            models={models}
            model={model}
            needsKey={props.needsKey}
            choose={props.chooseModel}
          />
          <NumberField
            label="Max tokens"
            value={draft.maxTokens}
            min={1}
            step={1}
            set={(maxTokens) => change({ ...draft, maxTokens })}
          />
          <NumberField
            label="Temperature"
            value={draft.temperature}
            min={0}
            step={0.1}
            set={(temperature) => change({ ...draft, temperature })}
          />
          <label>
            API key
            <input
              type="password"
              autocomplete="off"
              spellcheck={false}
              placeholder={props.needsKey ? 'needed here' : 'none needed'}
              aria-invalid={props.needsKey ? true : undefined}
              value={clientKey.value}
              onChange={(event) => setClientKey(event.currentTarget.value)}
            />
          </label>
        </div>
        {props.needsKey && (
          <p class="note" role="status">
            This fleet asks for an API key. Type one: this browser tab keeps it until it is closed.
          </p>
        )}
        {messages.map((message, index) => (
          <MessageField
            key={index}
            message={message}
            set={(next) => setMessage(index, next)}
            remove={
              messages.length === 1
                ? undefined
                : () => change({ ...draft, messages: messages.filter((_, at) => at !== index) })
            }
          />
        ))}
        <div class="actions composer-actions">
          {isStreaming ? (
            <button type="button" class="danger" onClick={props.stop}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary" disabled={!canSend}>
              Send
            </button>
          )}
          {props.canKill && (
            <button type="button" disabled={!canSend} onClick={() => props.send(true)}>
              Send, and kill its worker on the way
            </button>
          )}
          <button
            type="button"
            class="plain"
            disabled={messages.length >= maxMessages}
            onClick={() =>
              change({ ...draft, messages: [...messages, { role: 'user', content: '' }] })
            }
          >
            Add a message
          </button>
        </div>
      </form>
    </Panel>
  );
}

function NumberField(props: {
  label: string;
  value: string;
  min: number;
  step: number;
  set(value: string): void;
}) {
  return (
    <label>
      {props.label}
      <input
        type="number"
        min={props.min}
        step={props.step}
        placeholder="default"
        value={props.value}
        onInput={(event) => props.set(event.currentTarget.value)}
      />
    </label>
  );
}

/** The option for a name that the list does not have. */
const another = 'another name';

/** One of the list, or a name that a wildcard serves (`openai/gpt-5`), which is typed. */
function ModelField(props: {
  models: readonly string[] | undefined;
  model: string;
  needsKey: boolean;
  choose(name: string): void;
}) {
  const { models, model, choose } = props;
  const [isTyping, setTyping] = useState(false);
  const isListed = models === undefined || model === '' || models.includes(model);
  if (isTyping || !isListed) {
    return (
      <label>
        Model
        <input
          type="text"
          spellcheck={false}
          autocapitalize="off"
          placeholder="openai/gpt-5, or empty for the list"
          value={isListed ? '' : model}
          onChange={(event) => {
            const name = event.currentTarget.value.trim();
            setTyping(false);
            choose(name);
          }}
        />
      </label>
    );
  }
  return (
    <label>
      Model
      <select
        value={model}
        onChange={({ currentTarget: { value } }) =>
          value === another ? setTyping(true) : choose(value)
        }
      >
        {model === '' && (
          <option value="">{models || props.needsKey ? 'no model' : 'loading …'}</option>
        )}
        {(models ?? (model === '' ? [] : [model])).map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
        {models && <option value={another}>{another} …</option>}
      </select>
    </label>
  );
}

function MessageField(props: {
  message: Message;
  set(message: Message): void;
  remove: (() => void) | undefined;
}) {
  const { message, set, remove } = props;
  const submitOnCtrlEnter = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    (event.currentTarget as HTMLTextAreaElement).form?.requestSubmit();
  };
  return (
    <div class="message">
      <select
        aria-label="Role"
        value={message.role}
        onChange={(event) => {
          const role = roles.find((one) => one === event.currentTarget.value);
          if (role) set({ ...message, role });
        }}
      >
        {roles.map((role) => (
          <option key={role} value={role}>
            {role}
          </option>
        ))}
      </select>
      <textarea
        aria-label={`Message of ${message.role}`}
        rows={Math.min(8, Math.max(2, message.content.split('\n').length))}
        value={message.content}
        title="Ctrl+Enter sends"
        onInput={(event) => set({ ...message, content: event.currentTarget.value })}
        onKeyDown={submitOnCtrlEnter}
      />
      {remove && (
        <button type="button" aria-label="Remove this message" onClick={remove}>
          ×
        </button>
      )}
    </div>
  );
}
