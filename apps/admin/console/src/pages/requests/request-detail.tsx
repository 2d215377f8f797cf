import { PageHead } from '../../ui/panel.tsx';

export const RequestDetail = () => <PageHead title="Request" />;
