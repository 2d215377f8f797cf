import { PageHead } from '../../ui/panel.tsx';

export const RequestList = () => <PageHead title="Requests" />;
