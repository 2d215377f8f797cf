import { useLocation } from 'preact-iso';
import { useState } from 'preact/hooks';
import { call } from '../../api/client.ts';
import type { RequestView } from '../../api/types.ts';
import { ActionButton, CodeBlock, Dialog } from '../../ui/actions.tsx';
import { curlOf } from './curl.ts';
import type { SentCall } from './curl.ts';

type Target = { provider: string; model: string };

/** What the page needs of the fleet's config. */
export type ConfigPart = {
  models?: Record<string, { targets?: Target[] }>;
  debugLog?: unknown;
  retentionMs?: number;
};

/** What an operator can do with one request. `isOpen`: it waits or runs. */
export function RequestActions(props: {
  request: RequestView;
  config: ConfigPart | undefined;
  refresh(): void;
  /** The order to move it was carried out; the pause is not known yet. */
  onMoved(): void;
}) {
  const { request, config, refresh, onMoved } = props;
  const { id, status, model, attempts } = request;
  const path = `requests/${encodeURIComponent(id)}`;
  const keepsDebugLog = config?.debugLog !== undefined && config.debugLog !== null;
  const isOpen = status === 'running' || status === 'queued';
  const cancel = async () => {
    await call(`${path}/cancel`, { method: 'POST' });
    refresh();
    return 'The request is cancelled.';
  };
  return (
    <>
      {status === 'running' && (
        <MoveButton
          path={path}
          targets={targetsOf(config?.models ?? {}, model)}
          refresh={refresh}
          onMoved={onMoved}
        />
      )}
      {isOpen && (
        <ActionButton
          tone="danger"
          act={cancel}
          confirm="The answer ends here for each of its readers, and the call at the provider is closed."
        >
          Cancel
        </ActionButton>
      )}
      <CurlButton request={request} keepsDebugLog={keepsDebugLog} />
      {/* It has calls of providers only. */}
      {keepsDebugLog && attempts.length > 0 && <DebugButton id={id} />}
    </>
  );
}

/** The targets of the alias that serves a name, also of one that ends with `*` (docs/operating.md, wildcards). */
function targetsOf(models: NonNullable<ConfigPart['models']>, name: string): Target[] {
  const exact = models[name]?.targets;
  if (exact) return exact;
  const wildcard = Object.keys(models)
    .filter((alias) => alias.endsWith('*') && name.startsWith(alias.slice(0, -1)))
    .toSorted((one, other) => other.length - one.length)[0];
  const rest = name.slice((wildcard?.length ?? 1) - 1);
  return (models[wildcard ?? '']?.targets ?? []).map(({ provider, model }) => ({
    provider,
    model: model.replace('*', () => rest),
  }));
}

function MoveButton(props: {
  path: string;
  targets: readonly { provider: string; model: string }[];
  refresh(): void;
  onMoved(): void;
}) {
  const { path, targets, refresh, onMoved } = props;
  const [target, setTarget] = useState('');
  const move = async () => {
    await call(`${path}/move`, { method: 'POST', body: target === '' ? {} : { target } });
    onMoved();
    refresh();
  };
  const names = targets.map(({ provider, model }) => `${provider}/${model}`);
  return (
    <span class="move">
      <select
        aria-label="Target to move to"
        value={target}
        onChange={(event) => setTarget(event.currentTarget.value)}
      >
        <option value="">next target</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
      <ActionButton
        act={move}
        confirm={`The present attempt is ended, and the answer continues at ${target === '' ? 'the next target' : target}. Its readers get no text until then; this page shows how long that took.`}
      >
        Move
      </ActionButton>
    </span>
  );
}

function CurlButton({ request, keepsDebugLog }: { request: RequestView; keepsDebugLog: boolean }) {
  const [calls, setCalls] = useState<readonly SentCall[] | undefined>(undefined);
  const open = async () => {
    if (!keepsDebugLog) return setCalls([]);
    try {
      const path = `requests/${encodeURIComponent(request.id)}/debug`;
      setCalls((await call<{ data: SentCall[] }>(path)).data);
    } catch {
      // Not all requests have a record; the command does without.
      setCalls([]);
    }
  };
  const command = calls && curlOf(request, location.origin, calls);
  return (
    <>
      <button type="button" onClick={() => void open()}>
        Copy as curl
      </button>
      {command && (
        <Dialog title="As a command" onClose={() => setCalls(undefined)}>
          <CodeBlock text={command.text} />
          {command.notes.map((note) => (
            <p class="note" key={note}>
              {note}
            </p>
          ))}
        </Dialog>
      )}
    </>
  );
}

/**
 * To what the debug log has of the request. It is asked for at the click, because most requests have no record, and an
 * answer that says so is an error in the browser's console.
 */
function DebugButton({ id }: { id: string }) {
  const { route } = useLocation();
  const open = async () => {
    await call(`requests/${encodeURIComponent(id)}/debug`);
    route(`/admin/console/debug?request=${encodeURIComponent(id)}`);
  };
  return <ActionButton act={open}>Debug log</ActionButton>;
}
