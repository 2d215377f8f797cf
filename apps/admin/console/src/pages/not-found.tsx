import { Empty, PageHead } from '../ui/panel.tsx';

export function NotFound() {
  return (
    <>
      <PageHead title="No such page" />
      <Empty>
        <p>
          The console has no page at this address. <a href="/admin">Go to its first page.</a>
        </p>
      </Empty>
    </>
  );
}
