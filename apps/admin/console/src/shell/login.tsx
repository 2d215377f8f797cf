import { useEffect, useRef, useState } from 'preact/hooks';
import { call, needsLogin } from '../api/client.ts';
import { toFailure, usePoll } from '../api/use-poll.ts';
import { keepOpen, tell } from '../ui/actions.tsx';
import { announceSession, forgetSession } from './session-tabs.ts';

export type Session = {
  user: string | null;
  /** Null: the session ends with the browser's credentials. */
  expires_at: string | null;
  /** False where no admin is configured: then only this machine may look, without a password. */
  login_required: boolean;
  board: 'read-only' | 'remove';
  /** Whether the config allows to break something on purpose. */
  chaos: boolean;
  version: string;
};

export const useSession = (): Session | undefined => usePoll<Session>('session').data;

const loginLead = (
  <>
    Log in with the user and the password of <code>admin</code> in the config.
  </>
);

/** The login form, over the page that it interrupts: what the page shows and its fields stay. */
export function Login() {
  const [failure, setFailure] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => element.current?.showModal(), []);

  const submit = async (event: Event) => {
    event.preventDefault();
    const fields = new FormData(event.target as HTMLFormElement);
    setBusy(true);
    try {
      await call('session', {
        method: 'POST',
        body: { user: fields.get('user'), password: fields.get('password') },
      });
      needsLogin.value = 'no';
      announceSession('begun');
    } catch (error) {
      setFailure(toFailure(error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <dialog
      ref={element}
      class="login"
      aria-label="Log in"
      onKeyDown={keepOpen}
      onCancel={(event) => event.preventDefault()}
      // Without the form nothing on the page works.
      onClose={() => needsLogin.value !== 'no' && element.current?.showModal()}
    >
      <form class="dialog-body" onSubmit={(event) => void submit(event)}>
        <h2>Millrace</h2>
        <p>
          {needsLogin.value === 'expired'
            ? 'Your session has ended. Log in again: this page stays as it is.'
            : loginLead}
        </p>
        <label>
          User
          <input name="user" autocomplete="username" required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        {failure !== undefined && (
          <p class="failure" role="alert">
            {failure}
          </p>
        )}
        <button type="submit" class="primary" disabled={isBusy}>
          Log in
        </button>
      </form>
    </dialog>
  );
}

export function LogoutButton() {
  const session = useSession();
  if (session?.login_required !== true) return null;
  const logOut = async () => {
    try {
      await call('session', { method: 'DELETE' });
      announceSession('ended');
      forgetSession();
      location.assign('/admin');
    } catch (error) {
      tell(toFailure(error).message, 'bad');
    }
  };
  return (
    <button type="button" onClick={() => void logOut()}>
      Log out
    </button>
  );
}
