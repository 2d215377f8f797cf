import { useRef, useState } from 'preact/hooks';
import { call } from '../../api/client.ts';
import type { ApiFailure } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import { tell } from '../../ui/actions.tsx';
import { count } from '../../ui/format.ts';
import { Badge, Failure, Panel } from '../../ui/panel.tsx';
import { rangeOfLine, sideOf, textOf } from './fields.ts';
import type { Checked, Difference, Finding } from './fields.ts';

/** The most that the API takes. */
const maxBytes = 1 << 20;

/** Checks a text as the config file, and shows what it would change. Nothing is taken over. */
export function CheckPanel() {
  const [text, setText] = useState('');
  const [checked, setChecked] = useState<Checked>();
  const [failure, setFailure] = useState<ApiFailure>();
  const [isBusy, setBusy] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const latest = useRef(text);
  latest.current = text;

  const edit = (next: string) => {
    setText(next);
    // What was said is of the text before.
    setChecked(undefined);
    setFailure(undefined);
  };
  const check = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const said = await call<Checked>('config/check', { method: 'POST', body: text });
      // The text may have changed meanwhile.
      if (latest.current === text) setChecked(said);
    } catch (error) {
      if (latest.current !== text) return;
      setChecked(undefined);
      setFailure(toFailure(error));
    } finally {
      setBusy(false);
    }
  };
  const open = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > maxBytes) tell('The file is larger than 1 MiB.', 'bad');
    else edit(await file.text());
  };
  const goTo = (line: number) => {
    const element = area.current;
    if (!element) return;
    const [from, to] = rangeOfLine(text, line);
    element.focus();
    element.setSelectionRange(from, to);
    // The browser scrolls to what is typed, not to what is marked.
    const lines = text.split('\n').length;
    element.scrollTop = (element.scrollHeight * (line - 3)) / lines;
  };

  return (
    <Panel title="Check another config" note="nothing is taken over">
      <form
        class="check-form"
        onSubmit={(event) => {
          event.preventDefault();
          void check();
        }}
      >
        <label>
          The text of the file
          <textarea
            ref={area}
            rows={text === '' ? 5 : 16}
            spellcheck={false}
            placeholder="Paste a config in YAML here"
            value={text}
            onInput={(event) => edit(event.currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button type="submit" class="primary" disabled={isBusy || text.trim() === ''}>
            Check
          </button>
          <label class="button file">
            Open a file
            <input
              type="file"
              accept=".yaml,.yml,text/yaml"
              onChange={(event) => void open(event.currentTarget.files?.[0])}
            />
          </label>
        </div>
      </form>
      <div role="status" aria-live="polite">
        {failure && <Failure failure={failure} />}
        {checked && <Result of={checked} goTo={goTo} />}
      </div>
    </Panel>
  );
}

function Result({ of: checked, goTo }: { of: Checked; goTo(line: number): void }) {
  const { problems, warnings = [], diff } = checked;
  const isValid = problems.length === 0;
  const restarts = diff.filter(({ needs_restart: needs }) => needs).length;
  return (
    <>
      <p class="verdict">
        <Badge tone={isValid ? 'good' : 'bad'}>{isValid ? 'valid' : 'refused'}</Badge>{' '}
        {!isValid &&
          `${plural(problems.length, 'problem')}: the processes would keep their config.`}
        {isValid && diff.length === 0 && 'It is what runs: it changes nothing.'}
        {isValid &&
          diff.length > 0 &&
          `${plural(diff.length, 'change')}, ${restarts === 0 ? 'none of which needs a restart' : `${restarts} with a restart only`}.`}
      </p>
      <Findings of={problems} tone="bad" goTo={goTo} />
      <Findings of={warnings} tone="warn" goTo={goTo} />
      {diff.length > 0 && <Differences of={diff} />}
      {diff.some(({ from }) => textOf(from).includes('(not shown)')) && (
        <p class="note">Of a secret it says that it differs, and no more.</p>
      )}
      {checked.truncated === true && (
        <p class="note">There are more changes than these {count(diff.length)}.</p>
      )}
    </>
  );
}

const plural = (number: number, what: string): string =>
  number === 1 ? `One ${what}` : `${count(number)} ${what}s`;

function Findings(props: {
  of: readonly Finding[];
  tone: 'bad' | 'warn';
  goTo(line: number): void;
}) {
  const { of: findings, tone, goTo } = props;
  if (findings.length === 0) return null;
  return (
    <ul class="findings">
      {findings.map(({ line, field, message }, index) => (
        <li key={index} data-tone={tone}>
          {line === null ? (
            <span>–</span>
          ) : (
            <button type="button" class="plain" onClick={() => goTo(line)}>
              line {line}
            </button>
          )}
          <span>
            {field !== '' && <code>{field}</code>} {message}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Differences({ of: diff }: { of: readonly Difference[] }) {
  return (
    <div class="table-frame diff" tabIndex={0}>
      <table aria-label="What the config would change">
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col">Takes effect</th>
          </tr>
        </thead>
        <tbody>
          {diff.map((one) => (
            <tr key={one.path}>
              <td>
                <code>{one.path}</code>
              </td>
              <td>
                {one.from === null ? (
                  <span class="note">not there</span>
                ) : (
                  <del>{sideOf(one, one.from)}</del>
                )}
              </td>
              <td>
                {one.to === null ? (
                  <span class="note">removed</span>
                ) : (
                  <ins>{sideOf(one, one.to)}</ins>
                )}
              </td>
              <td>
                {one.needs_restart ? (
                  <Badge tone="warn">with a restart</Badge>
                ) : (
                  <Badge tone="good">within two seconds</Badge>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
