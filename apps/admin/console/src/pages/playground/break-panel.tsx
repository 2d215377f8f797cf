import { ActionButton } from '../../ui/actions.tsx';
import { Panel } from '../../ui/panel.tsx';
import type { AnswerControl, ChaosAction } from './use-answer.ts';

const actions: readonly { action: ChaosAction; title: string; about: string }[] = [
  {
    action: 'kill-worker',
    title: 'Kill the worker',
    about: 'SIGKILL to the worker that runs this request; another one takes over.',
  },
  {
    action: 'cut',
    title: 'Cut the provider',
    about: 'The simulated provider resets the connection in mid-answer.',
  },
  {
    action: 'stall',
    title: 'Stall the provider',
    about:
      'It stays connected and says nothing more; the worker leaves it after the idle timeout of the model.',
  },
];

/** What the operator can break while the answer streams. */
export function BreakPanel(props: {
  /** Whether the config allows it. */
  chaos: boolean;
  isStreaming: boolean;
  control: AnswerControl;
}) {
  const { chaos, isStreaming, control } = props;
  return (
    <Panel
      title="Break something"
      class="break"
      note={isStreaming ? 'now' : 'while an answer streams'}
    >
      {chaos &&
        actions.map(({ action, title, about }) => (
          <div key={action}>
            <ActionButton
              tone="danger"
              disabled={!isStreaming}
              title={about}
              act={() => control.breakIt(action)}
            >
              {title}
            </ActionButton>
            <p class="note">{about}</p>
          </div>
        ))}
      <div>
        <button type="button" disabled={!isStreaming} onClick={control.cutConnection}>
          Cut this page's connection
        </button>
        <p class="note">The page reads on behind the last event that it has.</p>
      </div>
    </Panel>
  );
}
