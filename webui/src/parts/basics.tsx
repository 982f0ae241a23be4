// The small parts every view is made of: status words, figures, panels, notes, command lines.
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import type { ApiError } from '../api/client';
import type { Health, JobStatus } from '../api/types';
import { Link, usePlace } from '../router';
import { Icon, type IconName } from './icons';

export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'quiet';

const TONES: Record<string, [Tone, IconName]> = {
  RUNNING: ['good', 'play'],
  FINISHED: ['quiet', 'check'],
  CANCELED: ['quiet', 'stop'],
  FAILED: ['bad', 'cross'],
  FAILING: ['bad', 'cross'],
  RESTARTING: ['warn', 'restart'],
  CREATED: ['info', 'clock'],
  SCHEDULED: ['info', 'clock'],
  DEPLOYING: ['info', 'clock'],
  INITIALIZING: ['info', 'clock'],
  CANCELLING: ['warn', 'stop'],
  CANCELING: ['warn', 'stop'],
};

export function Badge({ tone, icon, children }: { tone: Tone; icon?: IconName; children: ReactNode }) {
  return (
    <span className={`badge ${tone}`}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}

export function Status({ status, health }: { status: JobStatus | string; health?: Health }) {
  const [tone, icon] = TONES[status] ?? ['quiet', 'dot'];
  if (status === 'RUNNING' && health && health.state !== 'ok') {
    const failing = health.state === 'failing';
    return (
      <Badge tone={failing ? 'bad' : 'warn'} icon="warning">
        RUNNING, {health.state}
      </Badge>
    );
  }
  return (
    <Badge tone={tone} icon={icon}>
      {status}
    </Badge>
  );
}

export function Stat({ label, value, note, tone }: { label: string; value: ReactNode; note?: ReactNode; tone?: Tone }) {
  return (
    <div className={`stat ${tone ?? ''}`}>
      <div className="stat-label">{label}</div>
      <div className="stat-value">{value}</div>
      {note !== undefined && <div className="stat-note">{note}</div>}
    </div>
  );
}

export function Panel(props: { title: ReactNode; actions?: ReactNode; children: ReactNode; id?: string; flush?: boolean; note?: ReactNode }) {
  const id = useId();
  return (
    <section className={`panel${props.flush ? ' flush' : ''}`} aria-labelledby={id} id={props.id}>
      <header className="panel-head">
        <h2 id={id}>{props.title}</h2>
        {props.note && <span className="muted">{props.note}</span>}
        {props.actions && <div className="panel-actions">{props.actions}</div>}
      </header>
      <div className="panel-body">{props.children}</div>
    </section>
  );
}

export function Note({ tone = 'info', title, children }: { tone?: Tone; title?: ReactNode; children?: ReactNode }) {
  const icon: IconName = tone === 'bad' ? 'cross' : tone === 'warn' ? 'warning' : tone === 'good' ? 'check' : 'info';
  return (
    <div className={`note ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={icon} />
      <div>
        {title && <div className="note-title">{title}</div>}
        {children}
      </div>
    </div>
  );
}

export function ErrorNote({ error, title }: { error: ApiError; title?: string }) {
  return (
    <Note tone="bad" title={title ?? error.message}>
      {title && <div>{error.message}</div>}
      {error.help && <div className="muted">{error.help}</div>}
    </Note>
  );
}

/** A sentence of the job manager: names, which it puts between backticks, as code. */
export function Sentence({ children }: { children: string }) {
  const pieces = children.split('`');
  // An odd number of backticks: one is part of the text.
  if (pieces.length % 2 === 0) return <>{children}</>;
  return <>{pieces.map((piece, i) => (i % 2 === 1 ? <code key={i}>{piece}</code> : piece))}</>;
}

/** Says that this job manager does not have the route, instead of a bare 404. */
export function Missing({ error, what }: { error: ApiError; what: string }) {
  if (error.status !== 404 && error.status !== 405 && error.status !== 501) return <ErrorNote error={error} />;
  return <Note tone="info" title={`${what}: not available`}>{error.message}</Note>;
}

export function Empty({ children, icon = 'info' }: { children: ReactNode; icon?: IconName }) {
  return (
    <div className="empty">
      <Icon name={icon} />
      <div>{children}</div>
    </div>
  );
}

export const Loading = ({ what }: { what: string }) => (
  <div className="empty" role="status">
    <span className="spinner" aria-hidden="true" />
    Loading {what}…
  </div>
);

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = () => {
    const fallback = () => {
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).catch(fallback);
    else fallback();
    setDone(true);
  };
  return (
    <button type="button" className="button small quiet" onClick={copy} aria-label={`${label}: ${text}`}>
      <Icon name={done ? 'check' : 'copy'} />
      <span aria-live="polite">{done ? 'Copied' : 'Copy'}</span>
    </button>
  );
}

/** Where the API is, for the command lines. */
export const SERVER = location.origin;

/** The `streamctl` line that does the same. */
export function CommandLine({ children }: { children: string }) {
  const line = children.includes('--server') ? children : `${children} --server ${SERVER}`;
  return (
    <div className="command">
      <code tabIndex={0} aria-label="The same with streamctl">
        <span className="prompt" aria-hidden="true">$ </span>
        {line}
      </code>
      <Copy text={line} label="Copy command" />
    </div>
  );
}

export function Tabs({ label, tabs }: { label: string; tabs: { to: string; name: string; mark?: ReactNode }[] }) {
  const { path } = usePlace();
  const best = tabs.reduce<string | null>(
    (found, t) => ((path === t.to || path.startsWith(`${t.to}/`)) && t.to.length > (found?.length ?? -1) ? t.to : found),
    null,
  );
  const current = useRef<HTMLLIElement>(null);
  useEffect(() => {
    const item = current.current;
    const bar = item?.parentElement;
    if (item && bar) bar.scrollLeft = item.offsetLeft - bar.clientWidth / 2 + item.clientWidth / 2;
  }, [best]);
  return (
    <nav className="tabs" aria-label={label}>
      <ul>
        {tabs.map((t) => (
          <li key={t.to} ref={t.to === best ? current : undefined}>
            <Link to={t.to} aria-current={t.to === best ? 'page' : undefined}>
              {t.name}
              {t.mark}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Three shares that add to 100: busy, backpressured, idle. Words beside it say the same. */
export function Shares({ busy, backpressured, idle }: { busy: number; backpressured: number; idle: number }) {
  const total = Math.max(1, busy + backpressured + idle);
  const width = (x: number) => ({ width: `${(x / total) * 100}%` });
  return (
    <span className="shares" role="img" aria-label={`busy ${busy.toFixed(0)}%, backpressured ${backpressured.toFixed(0)}%, idle ${idle.toFixed(0)}%`}>
      <span className="share busy" style={width(busy)} />
      <span className="share backpressured" style={width(backpressured)} />
      <span className="share idle" style={width(idle)} />
    </span>
  );
}

export function Meter({ value, max, label }: { value: number; max: number; label: string }) {
  const share = max > 0 ? Math.min(1, value / max) : 0;
  return (
    <span className="meter" role={label ? 'img' : undefined} aria-label={label || undefined} aria-hidden={label ? undefined : true}>
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}

/** A modal dialog. Closes by Escape, its cross, and a click beside it. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={id}
      onClose={onClose}
      onMouseDown={(e) => e.target === ref.current && ref.current?.close()}
    >
      <div className="dialog">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" className="button icon quiet" aria-label="Close" onClick={() => ref.current?.close()}>
            <Icon name="cross" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** A definition list: the quiet way to show facts. */
export function Facts({ children }: { children: ReactNode }) {
  return <dl className="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
