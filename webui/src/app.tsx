// The frame round every view: header, navigation, theme, token question, and which view is shown
// for an address.
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from 'react';
import { giveToken, onTokenNeeded } from './api/client';
import { ClusterProvider } from './cluster';
import { Dialog, Loading, Note } from './parts/basics';
import { Boundary } from './parts/boundary';
import { Icon, type IconName } from './parts/icons';
import { Link, usePlace, type Place } from './router';
import { OverviewView } from './views/overview';
import { JobView } from './views/job/job';
import { JobManagerView } from './views/cluster/jobmanager';
import { TaskManagerView } from './views/cluster/taskmanager';
import { TaskManagersView } from './views/cluster/taskmanagers';

const SubmitView = lazy(() => import('./views/submit'));

function view(place: Place): ReactNode {
  const [first, id] = place.parts;
  switch (first) {
    case undefined:
      return <OverviewView />;
    case 'jobs':
      return id ? <JobView key={id} id={id} /> : <OverviewView />;
    case 'submit':
      return <SubmitView />;
    case 'taskmanagers':
      return id ? <TaskManagerView key={id} id={id} /> : <TaskManagersView />;
    case 'jobmanager':
      return <JobManagerView />;
    default:
      return (
        <div className="page">
          <h1 tabIndex={-1}>Nothing here</h1>
          <Note tone="warn" title={`There is no view at ${place.path}`}>
            <Link to="/">Go to the overview</Link>
          </Note>
        </div>
      );
  }
}

const PLACES: { to: string; name: string; icon: IconName; under: string[] }[] = [
  { to: '/', name: 'Overview', icon: 'home', under: ['', 'jobs'] },
  { to: '/submit', name: 'Submit', icon: 'submit', under: ['submit'] },
  { to: '/taskmanagers', name: 'Task managers', icon: 'server', under: ['taskmanagers'] },
  { to: '/jobmanager', name: 'Job manager', icon: 'jobs', under: ['jobmanager'] },
];

export function App() {
  const place = usePlace();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(place.path);
  // One view: a job keeps its state while its tabs and vertices change.
  const top = place.parts.slice(0, 2).join('/');
  useEffect(() => {
    if (shown.current === place.path) return;
    shown.current = place.path;
    // A new view: readers hear its heading, the keyboard starts there. Tabs of a view keep the focus.
    const heading = main.current?.querySelector<HTMLElement>('h1');
    if (heading && !main.current?.contains(document.activeElement)) heading.focus({ preventScroll: true });
  }, [place.path]);
  useEffect(() => {
    if (place.parts.length <= 2) window.scrollTo(0, 0);
  }, [top]); // eslint-disable-line -- only when the view changes
  return (
    <ClusterProvider>
      <a className="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>
        Skip to content
      </a>
      <header className="top">
        <Link to="/" className="brand" aria-label="Weir, overview">
          <img src="/ui/favicon.svg" alt="" width="24" height="24" />
          <span>Weir</span>
        </Link>
        <nav aria-label="Main">
          {PLACES.map((p) => (
            <Link key={p.to} to={p.to} aria-current={p.under.includes(place.parts[0] ?? '') ? 'page' : undefined} title={p.name}>
              <Icon name={p.icon} />
              <span>{p.name}</span>
            </Link>
          ))}
        </nav>
        <ThemeSwitch />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Boundary key={top}>
          <Suspense fallback={<Loading what="view" />}>{view(place)}</Suspense>
        </Boundary>
      </main>
      <TokenQuestion />
    </ClusterProvider>
  );
}

const THEMES = { auto: 'System theme', light: 'Light theme', dark: 'Dark theme' } as const;
type Theme = keyof typeof THEMES;

function ThemeSwitch() {
  const [theme, setTheme] = useState<Theme>(() => (document.documentElement.dataset.theme as Theme) ?? 'auto');
  const order: Theme[] = ['auto', 'light', 'dark'];
  const next = order[(order.indexOf(theme) + 1) % order.length];
  const choose = () => {
    setTheme(next);
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === 'auto') localStorage.removeItem('weir.theme');
      else localStorage.setItem('weir.theme', next);
    } catch {
      // Storage is off: the choice lasts until the page is loaded again.
    }
  };
  const label = `${THEMES[theme]}. Switch to ${THEMES[next].toLowerCase()}`;
  return (
    <button type="button" className="button icon quiet theme" onClick={choose} aria-label={label} title={label}>
      <Icon name={theme === 'light' ? 'sun' : theme === 'dark' ? 'moon' : 'auto'} />
    </button>
  );
}

/** Asks once for the API token when the job manager wants one. */
function TokenQuestion() {
  const [asked, setAsked] = useState(false);
  const [token, setToken] = useState('');
  useEffect(() => onTokenNeeded(() => setAsked(true)), []);
  if (!asked) return null;
  const answer = (value: string | null) => {
    setAsked(false);
    setToken('');
    giveToken(value);
  };
  return (
    <Dialog title="API token" onClose={() => answer(null)}>
      <form
        method="dialog"
        onSubmit={(e) => {
          e.preventDefault();
          answer(token.trim() || null);
        }}
      >
        <p>
          This job manager asks for the token that it was started with (<code>--api-token-file</code>). It is kept until
          this tab is closed.
        </p>
        <label className="field">
          <span>Token</span>
          <input type="password" autoComplete="off" autoFocus value={token} onChange={(e) => setToken(e.target.value)} />
        </label>
        <div className="dialog-actions">
          <button type="submit" className="button primary" disabled={!token.trim()}>
            Continue
          </button>
        </div>
      </form>
    </Dialog>
  );
}
