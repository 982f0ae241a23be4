// Log files of a process by opaque id, the end of the chosen one. Called by the task manager's and
// the job manager's pages; address `.../logs/LOG`.
import { useEffect, useRef, useState } from 'react';
import { getText, type ApiError } from '../../api/client';
import { asApiError, useOnce } from '../../api/live';
import type { LogFile } from '../../api/types';
import { bytes } from '../../format';
import { Empty, Loading, Missing, Panel } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { Link } from '../../router';

const TAIL = 128 * 1024;
const EVERY_MS = 2000;

const files = (raw: any): LogFile[] => raw.logs ?? [];

export function Logs({ path, base, chosen }: { path: string; base: string; chosen: string | undefined }) {
  const list = useOnce(`${path}/logs`, files);
  const id = chosen ?? list.data?.[0]?.id;
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [follow, setFollow] = useState(true);
  const [words, setWords] = useState('');
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (!id) return;
    const abort = new AbortController();
    const load = () =>
      getText(`${path}/logs/${encodeURIComponent(id)}?tail=${TAIL}`, abort.signal).then(
        (t) => (setText(t), setError(null)),
        (cause) => abort.signal.aborted || setError(asApiError(cause)),
      );
    void load();
    const timer = follow ? setInterval(load, EVERY_MS) : undefined;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [path, id, follow]);
  const wanted = words.trim().toLowerCase();
  const lines = (text ?? '').split('\n');
  const shown = wanted ? lines.filter((l) => l.toLowerCase().includes(wanted)) : lines;
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text, follow]);
  if (list.error) return <Missing error={list.error} what="Logs" />;
  if (!list.data) return <Loading what="logs" />;
  if (list.data.length === 0) return <Empty>This process writes no log that may be read here.</Empty>;
  return (
    <Panel
      title="Logs"
      note={`the last ${bytes(TAIL)}`}
      flush
      actions={
        <>
          <label className="search">
            <Icon name="search" />
            <input type="search" aria-label="Find in the log" placeholder="Find" value={words} onChange={(e) => setWords(e.target.value)} />
          </label>
          <label className="check">
            <input type="checkbox" checked={follow} onChange={(e) => setFollow(e.target.checked)} />
            <span>Follow</span>
          </label>
        </>
      }
    >
      <ul className="log-files" aria-label="Log files">
        {list.data.map((f) => (
          <li key={f.id}>
            <Link to={`${base}/logs/${encodeURIComponent(f.id)}`} aria-current={f.id === id ? 'page' : undefined}>
              {f.name} <span className="muted">{bytes(f.bytes)}</span>
            </Link>
          </li>
        ))}
      </ul>
      {error && <Missing error={error} what="Log" />}
      <pre className="log" ref={box} tabIndex={0} aria-label="Log">
        {text === null ? '' : shown.map((l, i) => <LogLine key={i} line={l} />)}
      </pre>
    </Panel>
  );
}

function LogLine({ line }: { line: string }) {
  const level = /\b(ERROR|WARN)\b/.exec(line)?.[1];
  return <span className={level ? `log-${level.toLowerCase()}` : undefined}>{`${line}\n`}</span>;
}
