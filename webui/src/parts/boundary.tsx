// Keeps one view's mistake from taking the page with it. Called by `app.tsx`.
import { Component, type ReactNode } from 'react';
import { Note } from './basics';

export class Boundary extends Component<{ children: ReactNode }, { failed: Error | null }> {
  state: { failed: Error | null } = { failed: null };

  static getDerivedStateFromError(failed: Error) {
    return { failed };
  }

  render() {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="page">
        <Note tone="bad" title="This view failed">
          <p>{this.state.failed.message}</p>
          <button type="button" className="button" onClick={() => this.setState({ failed: null })}>
            Try again
          </button>
        </Note>
      </div>
    );
  }
}
