import { useEffect, useState } from 'preact/hooks';
import { clientKey } from '../../api/client-key.ts';
import { useModels } from '../../api/models-api.ts';
import { toFailure, usePoll } from '../../api/use-poll.ts';
import type { Session } from '../../shell/login.tsx';
import { tell } from '../../ui/actions.tsx';
import { Failure, PageHead } from '../../ui/panel.tsx';
import { useQueryState } from '../../ui/query-state.ts';
import { AnswerPanel } from './answer-panel.tsx';
import { BreakPanel } from './break-panel.tsx';
import { Composer } from './composer.tsx';
import { chooseModel, firstDraft, toBody } from './draft.ts';
import type { Draft } from './draft.ts';
import { FactsPanel } from './facts-panel.tsx';
import { keepDraft, keptDraft } from './kept.ts';
import { isOver } from './transcript.ts';
import { useAnswer } from './use-answer.ts';
import './playground.css';

/** Tokens after which "send, then kill its worker" kills it. */
const killAfter = 25;

/** Streams an answer of any model, breaks something while it comes, and shows where it went on. */
export function Playground() {
  const { names, failure, refresh } = useModels();
  const [wanted, setWanted] = useQueryState('model');
  const [draft, setDraft] = useState<Draft>(() => keptDraft() ?? firstDraft);
  useEffect(() => keepDraft(draft), [draft]);
  const [killsWorker, setKillsWorker] = useState(false);
  const control = useAnswer();
  const session = usePoll<Session>('session');
  const { answer } = control;
  // A name that is not in the list may be one that a wildcard serves.
  const model = wanted === '' ? chooseModel(names ?? [], '') : wanted;
  const isStreaming = answer !== undefined && !isOver(answer.transcript);
  const chaos = session.data?.chaos === true;

  const send = (kills: boolean) => {
    setKillsWorker(kills);
    control.send(toBody(draft, model));
  };
  const tokens = answer?.transcript.tokens ?? 0;
  useEffect(() => {
    if (!killsWorker || !isStreaming || tokens < killAfter) return;
    setKillsWorker(false);
    control.breakIt('kill-worker').catch((error: unknown) => tell(toFailure(error).message, 'bad'));
  }, [killsWorker, isStreaming, tokens]);

  /** The answer becomes a part of the conversation, and the next question is empty. */
  const goOn = () => {
    const text = answer?.transcript.pieces
      .map((piece) => (piece.kind === 'answer' ? piece.text : ''))
      .join('');
    setDraft((before) => ({
      ...before,
      messages: [
        ...before.messages,
        { role: 'assistant', content: text ?? '' },
        { role: 'user', content: '' },
      ],
    }));
    control.clear();
  };

  return (
    <>
      <PageHead
        title="Playground"
        lead="Stream an answer, break something while it comes, and see where it goes on."
      />
      {failure && !(failure.status === 401 && clientKey.value === '') && (
        <Failure failure={failure} retry={refresh} />
      )}
      {/* Only then it is known which buttons there are, and nothing moves. */}
      {(session.data ?? session.failure) && (
        <div class="playground">
          <div class="playground-main">
            <Composer
              draft={draft}
              change={setDraft}
              models={names}
              model={model}
              chooseModel={setWanted}
              needsKey={failure?.status === 401}
              isStreaming={isStreaming}
              canKill={chaos}
              send={send}
              stop={control.stop}
            />
            <AnswerPanel answer={answer} goOn={goOn} />
          </div>
          <div class="playground-side">
            <BreakPanel
              chaos={chaos}
              isStreaming={isStreaming && answer.transcript.tokens > 0}
              control={control}
            />
            <FactsPanel answer={answer} />
          </div>
        </div>
      )}
    </>
  );
}
