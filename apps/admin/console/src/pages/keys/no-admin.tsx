import { useSession } from '../../shell/login.tsx';
import { CodeBlock, Dialog } from '../../ui/actions.tsx';
import { Panel } from '../../ui/panel.tsx';

/*
 * A fleet whose config has no `admin`: this machine may create the first key without a password, and change none from then on,
 * because a program that has no key could give itself one.
 */

/** Whether the config has an `admin`; undefined: not known yet. */
export const useHasAdmin = (): boolean | undefined => useSession()?.login_required;

const example = "admin: { user: ops, password: '${ADMIN_PASSWORD}' }";

const HowToAdd = () => (
  <>
    <p>
      Add this to the config file, and restart the fleet with <code>ADMIN_PASSWORD</code> in its
      environment:
    </p>
    <CodeBlock text={example} />
    <p class="note">
      <code>npm start</code> without a config prints the path of the one that it made. Copy that
      file, add the line, and start with <code>--config FILE</code>.
    </p>
  </>
);

/** Why keys cannot be changed, and how they can be again. */
export const LockedPanel = () => (
  <Panel title="No key can be changed here" class="locked">
    <p>
      This fleet has keys, but its config has no <code>admin</code>. Until it has one, no key can be
      created, changed, rotated or revoked, neither here nor with the command line.
    </p>
    <HowToAdd />
  </Panel>
);

/** Asks before the first key is created in a fleet without an `admin`. */
export const FirstKeyDialog = (props: { onClose(): void; onGoOn(): void }) => (
  <Dialog title="Before the first key" class="wide" onClose={props.onClose}>
    <p>
      From the first key on, every client needs one. And as the config has no <code>admin</code>,
      <strong> this first key will be the last one that you can create here:</strong> none can be
      created, changed, rotated or revoked until the config has an <code>admin</code>.
    </p>
    <HowToAdd />
    <div class="actions">
      <button type="button" class="primary" onClick={props.onClose}>
        Not now
      </button>
      <button type="button" onClick={props.onGoOn}>
        Create the first key all the same
      </button>
    </div>
  </Dialog>
);
