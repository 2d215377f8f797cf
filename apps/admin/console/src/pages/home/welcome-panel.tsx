import { useSession } from '../../shell/login.tsx';
import { CodeBlock } from '../../ui/actions.tsx';
import { Panel } from '../../ui/panel.tsx';

/** For a fleet that has served nothing yet: how to send the first request. */
export function WelcomePanel() {
  const session = useSession();
  const command = `curl -N ${location.origin}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{"model":"simulated","stream":true,"messages":[{"role":"user","content":"Hello"}]}'`;
  return (
    <Panel class="welcome" title="No request yet">
      <p>
        {session?.chaos === true
          ? 'Start a stream in the playground, kill the worker that serves it, and watch the answer go on.'
          : 'Start a stream in the playground, or point a client at this address.'}
      </p>
      <div class="actions">
        <a class="button primary" href="/admin/console/playground">
          Open the playground
        </a>
        <a class="button" href="/admin/console/setup">
          Set up a client
        </a>
      </div>
      {session?.chaos === true && <CodeBlock text={command} />}
    </Panel>
  );
}
