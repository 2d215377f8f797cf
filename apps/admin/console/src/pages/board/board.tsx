import { PageHead } from '../../ui/panel.tsx';
import { useSession } from '../../shell/login.tsx';
import './board.css';

/** Bull Board inside the console: the jobs of the queue as BullMQ has them. */
export function Board() {
  const session = useSession();
  return (
    <>
      <PageHead
        title="Bull Board"
        lead={
          session?.board === 'remove' ? (
            'The jobs of the queue as BullMQ has them. The config allows to remove them and to pause the queue.'
          ) : (
            <>
              The jobs of the queue as BullMQ has them, to read: <code>board: remove</code> in the
              config allows more.
            </>
          )
        }
      >
        <a class="button" href="/admin/queues" target="_blank" rel="noreferrer">
          In its own tab
        </a>
      </PageHead>
      <iframe class="board" src="/admin/queues" title="Bull Board" />
    </>
  );
}
