import { Component } from 'preact';
import type { ComponentChildren } from 'preact';
import { PageHead } from '../ui/panel.tsx';

type Props = { path: string; children: ComponentChildren };

/** A page that throws leaves the navigation and all other pages as they are. */
export class PageBoundary extends Component<Props, { error: unknown; path: string }> {
  override componentDidCatch(error: unknown): void {
    reportError(error);
    this.setState({ error, path: this.props.path });
  }

  override render({ path, children }: Props) {
    const { error, path: failed } = this.state;
    if (error === undefined || failed !== path) return children;
    return (
      <>
        <PageHead title="This page has failed" />
        <div class="failure" role="alert">
          <p>An error in the console stopped it. The other pages work.</p>
          <p>
            <code>
              {error instanceof Error
                ? `${error.name}: ${error.message}`
                : 'It was no error, but another value.'}
            </code>
          </p>
          <button type="button" onClick={() => this.setState({ error: undefined })}>
            Try again
          </button>
        </div>
      </>
    );
  }
}
