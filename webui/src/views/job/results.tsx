// A live look at the rows that leave a vertex: sampled, bounded. Address `/jobs/ID/results`.
import { useEffect, useMemo, useRef, useState } from 'react';
import { stream, type ApiError } from '../../api/client';
import { asApiError } from '../../api/live';
import { quoted, whole } from '../../format';
import { CommandLine, Empty, ErrorNote, Note, Panel } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { Table, type Column } from '../../parts/table';
import { navigate, usePlace } from '../../router';
import { ENDED, type JobTab } from './job';

interface Row { key: number; values: Record<string, unknown> }
interface Tap {
  columns: { name: string; type: string }[];
  rows: Row[];
  seen: number;
  dropped: number;
  state: 'off' | 'on' | 'ended';
  error: ApiError | null;
}

const KEEP = 500;
const OFF: Tap = { columns: [], rows: [], seen: 0, dropped: 0, state: 'off', error: null };

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What `event: rows` carries. Rows that arrive while paused are counted, not shown. */
function add(tap: Tap, raw: { schema?: { name: string; type: string }[]; rows?: Record<string, unknown>[]; dropped?: number }): Tap {
  const fresh = (raw.rows ?? []).map((values, i) => ({ key: tap.seen + i, values })).reverse();
  return {
    ...tap,
    columns: raw.schema && raw.schema.length > 0 && tap.columns.length === 0 ? raw.schema : tap.columns,
    rows: [...fresh, ...tap.rows].slice(0, KEEP),
    seen: tap.seen + fresh.length,
    dropped: tap.dropped + (raw.dropped ?? 0),
  };
}

export function ResultsTab({ job, plan }: JobTab) {
  const { query } = usePlace();
  const nodes = plan?.nodes ?? [];
  const names = useMemo(() => new Map(job.vertices.map((v) => [v.id, v.name])), [job.vertices]);
  const sinks = nodes.filter((n) => !plan?.edges.some((e) => e.from === n.vertex));
  const vertex = query.get('vertex') ?? sinks[0]?.vertex ?? nodes[0]?.vertex ?? '';
  const operators = nodes.find((n) => n.vertex === vertex)?.operators ?? [];
  const operator = query.get('operator') ?? '';
  const [tap, setTap] = useState<Tap>(OFF);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  useEffect(() => {
    abort.current?.abort();
    setTap(OFF);
  }, [vertex, operator]);

  const stop = () => {
    abort.current?.abort();
    setTap((t) => ({ ...t, state: 'ended' }));
  };
  const start = () => {
    abort.current?.abort();
    const own = new AbortController();
    abort.current = own;
    setTap({ ...OFF, state: 'on' });
    const body = JSON.stringify({ vertex, ...(operator ? { operator } : {}) });
    const init = { method: 'POST', body, headers: { 'content-type': 'application/json' }, signal: own.signal };
    stream(`/jobs/${job.id}/taps`, init, (event) => {
      if (own.signal.aborted) return;
      if (event.event === 'rows') setTap((t) => add(t, JSON.parse(event.data)));
      if (event.event === 'end') setTap((t) => ({ ...t, state: 'ended' }));
    }).then(
      () => own.signal.aborted || setTap((t) => ({ ...t, state: 'ended' })),
      (cause) => own.signal.aborted || setTap((t) => ({ ...t, state: 'off', error: asApiError(cause) })),
    );
  };
  const choose = (next: { vertex: string; operator?: string }) => {
    const words = new URLSearchParams({ vertex: next.vertex });
    if (next.operator) words.set('operator', next.operator);
    navigate(`/jobs/${job.id}/results?${words}`, { replace: true });
  };
  const columns = useMemo((): Column<Row>[] => {
    return tap.columns.map((c) => ({
      id: c.name,
      name: (
        <>
          {c.name} <span className="type">{c.type}</span>
        </>
      ),
      number: /int|float|double|decimal/i.test(c.type),
      cell: (r) => <span className={r.values[c.name] === null || r.values[c.name] === undefined ? 'muted' : undefined}>{shown(r.values[c.name])}</span>,
    }));
  }, [tap.columns]);
  const over = ENDED.includes(job.status);
  const node = operator || operators[operators.length - 1]?.name || names.get(vertex) || vertex;
  const off = tap.error?.code === 'tapsOff' || tap.error?.status === 403;
  return (
    <div className="stack">
      <Panel
        title="Live tap"
        note={tap.state === 'on' ? 'sampling' : 'a sample of the rows that leave a vertex; the job does not wait for it'}
        actions={
          tap.state === 'on' ? (
            <button type="button" className="button" onClick={stop}>
              <Icon name="stop" />
              Stop
            </button>
          ) : (
            <button type="button" className="button primary" onClick={start} disabled={over || !vertex}>
              <Icon name="tap" />
              {tap.state === 'ended' ? 'Tap again' : 'Start the tap'}
            </button>
          )
        }
      >
        <div className="row fields">
          <label className="field">
            <span>Vertex</span>
            <select value={vertex} onChange={(e) => choose({ vertex: e.target.value })}>
              {nodes.map((n) => (
                <option key={n.vertex} value={n.vertex}>
                  {names.get(n.vertex) ?? n.operators.map((o) => o.name).join(' -> ')}
                </option>
              ))}
            </select>
          </label>
          <label className="field">
            <span>Operator</span>
            <select value={operator} onChange={(e) => choose({ vertex, operator: e.target.value })}>
              <option value="">last of the chain</option>
              {operators.map((o) => (
                <option key={o.uid} value={o.uid}>
                  {o.name}
                </option>
              ))}
            </select>
          </label>
          <p className="figures" role="status">
            {whole(tap.seen)} rows seen{tap.dropped > 0 && `, ${whole(tap.dropped)} left out`}
            {tap.state === 'ended' && ', ended'}
          </p>
        </div>
        {off && (
          <Note tone="info" title="Taps are off on this cluster">
            They are off by default beyond loopback, since rows may be private. The job manager takes <code>--taps on</code>.
          </Note>
        )}
        {tap.error && !off && <ErrorNote error={tap.error} />}
        {over && <Note title="The job is over: no rows flow any more" />}
      </Panel>
      <Panel title="Rows" note={tap.rows.length > 0 ? 'newest first' : undefined} flush>
        {tap.rows.length === 0 ? (
          <Empty icon="tap">{tap.state === 'on' ? 'Waiting for rows. A window sends none before it closes.' : 'Start the tap to see rows.'}</Empty>
        ) : (
          <Table label="Rows of the tap" rows={tap.rows} columns={columns} rowKey={(r) => String(r.key)} maxHeight={560} />
        )}
      </Panel>
      <CommandLine>{`streamctl tap ${quoted(`${job.name}.${node}`)}`}</CommandLine>
    </div>
  );
}
