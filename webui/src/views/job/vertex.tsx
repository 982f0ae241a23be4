// The drawer beside the topology: everything about one vertex. Called by `topology.tsx`; address
// `/jobs/ID/vertices/VERTEX?show=PART`.
import { useEffect, useMemo, useRef } from 'react';
import { useLive, useNow } from '../../api/live';
import type { Job, Plan, Subtask, Vertex } from '../../api/types';
import { ago, bytes, count, duration, lag, percent, rate, watermark, whole, words } from '../../format';
import { Empty, Fact, Facts, Shares, Status } from '../../parts/basics';
import { Chart, type Series } from '../../parts/chart';
import { useHistory } from '../../parts/history';
import { Icon } from '../../parts/icons';
import { Table, type Column } from '../../parts/table';
import { Link, navigate, usePlace } from '../../router';
import { States } from './topology';
import { condition } from './topology-parts';

interface Part { job: Job; vertex: Vertex }

const PARTS = [
  { id: 'subtasks', name: 'Subtasks' },
  { id: 'skew', name: 'Skew' },
  { id: 'watermarks', name: 'Watermarks' },
  { id: 'charts', name: 'Charts' },
  { id: 'state', name: 'State' },
] as const;

export function VertexDrawer({ job, plan, vertex, onClose }: { job: Job; plan: Plan; vertex: Vertex; onClose: () => void }) {
  const { query } = usePlace();
  const shown = query.get('show') ?? 'subtasks';
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    // Below the graph, where the screen is narrow.
    if (matchMedia('(max-width: 1000px)').matches) heading.current?.scrollIntoView({ block: 'start' });
  }, []);
  const node = plan.nodes.find((n) => n.vertex === vertex.id);
  const operators = node?.operators ?? vertex.operators;
  const { word } = condition(vertex.peak.busy, vertex.peak.backpressured);
  const charts = useCharts(job, vertex);
  return (
    <aside className="drawer" aria-label={`Vertex ${vertex.name}`} onKeyDown={(e) => e.key === 'Escape' && onClose()}>
      <header>
        <h2 tabIndex={-1} ref={heading}>
          {vertex.name}
        </h2>
        <button type="button" className="button icon quiet" aria-label="Close the vertex" onClick={onClose}>
          <Icon name="cross" />
        </button>
      </header>
      <div className="drawer-facts">
        <States states={vertex.states} />
        <div className="load">
          <Shares busy={vertex.peak.busy} backpressured={vertex.peak.backpressured} idle={Math.max(0, 100 - vertex.peak.busy - vertex.peak.backpressured)} />
          <span>
            {word}: {percent(vertex.peak.busy)} busy, {percent(vertex.peak.backpressured)} backpressured in the busiest subtask
          </span>
        </div>
        <ul className="chain" aria-label="Operators">
          {operators.map((o) => (
            <li key={o.uid}>
              <Link to={`/jobs/${job.id}/source${o.line ? `?line=${o.line}` : ''}`}>{o.name}</Link>{' '}
              <span className="muted">
                {o.kind}
                {o.line && `, line ${o.line}`}
              </span>
            </li>
          ))}
        </ul>
        <Link to={`/jobs/${job.id}/results?vertex=${vertex.id}`}>Look at its rows</Link>
      </div>
      <div className="segments full" role="group" aria-label="Part">
        {PARTS.map((p) => (
          <button
            key={p.id}
            type="button"
            aria-pressed={p.id === shown}
            onClick={() => navigate(`/jobs/${job.id}/vertices/${vertex.id}${p.id === 'subtasks' ? '' : `?show=${p.id}`}`, { replace: true })}
          >
            {p.name}
          </button>
        ))}
      </div>
      <div className="drawer-body">
        {shown === 'subtasks' && <Subtasks job={job} vertex={vertex} />}
        {shown === 'skew' && <Skew job={job} vertex={vertex} />}
        {shown === 'watermarks' && <Watermarks job={job} vertex={vertex} />}
        {shown === 'charts' && <Charts series={charts} />}
        {shown === 'state' && <State job={job} vertex={vertex} />}
      </div>
    </aside>
  );
}

function Subtasks({ job, vertex }: Part) {
  const over = job.endedAtMs !== null;
  const columns = useMemo((): Column<Subtask>[] => {
    return [
      { id: 'n', name: '#', number: true, cell: (s) => s.subtask, sort: (s) => s.subtask },
      { id: 'state', name: 'State', cell: (s) => <Status status={s.state} />, sort: (s) => s.state },
      { id: 'busy', name: 'Busy', number: true, cell: (s) => percent(s.rates.busyPercent), sort: (s) => s.rates.busyPercent },
      { id: 'bp', name: 'Backpr.', number: true, cell: (s) => percent(s.rates.backpressuredPercent), sort: (s) => s.rates.backpressuredPercent },
      { id: 'in', name: 'In', number: true, cell: (s) => (over ? count(s.metrics.recordsIn) : rate(s.rates.recordsInPerSecond)), sort: (s) => s.metrics.recordsIn },
      { id: 'out', name: 'Out', number: true, cell: (s) => (over ? count(s.metrics.recordsOut) : rate(s.rates.recordsOutPerSecond)), sort: (s) => s.metrics.recordsOut },
      { id: 'queued', name: 'Queued', number: true, cell: (s) => bytes(s.metrics.queuedBytes), sort: (s) => s.metrics.queuedBytes },
      { id: 'tm', name: 'Task manager', cell: (s) => (s.taskManager ? <Link to={`/taskmanagers/${s.taskManager}`}>{s.taskManager}</Link> : '–'), sort: (s) => s.taskManager },
    ];
  }, [over]);
  return <Table label="Subtasks" rows={vertex.subtasks} columns={columns} rowKey={(s) => String(s.subtask)} maxHeight={440} rowHeight={38} />;
}

/** Mean distance from the mean, in percent of it: 0 is even. */
export function skewOf(values: number[]): number {
  const total = values.reduce((a, b) => a + b, 0);
  if (values.length < 2 || total === 0) return 0;
  const mean = total / values.length;
  return Math.min(100, (values.reduce((a, v) => a + Math.abs(v - mean), 0) / values.length / mean) * 100);
}

function Skew({ job, vertex }: Part) {
  const values = vertex.subtasks.map((s) => s.metrics.recordsIn);
  const most = Math.max(1, ...values);
  const total = Math.max(1, values.reduce((a, b) => a + b, 0));
  const skew = skewOf(values);
  // Senders sample what they send: the hot group of this vertex is told by those before it.
  const hot = job.vertices
    .flatMap((v) => v.subtasks.map((s) => s.metrics.hotKeyGroup))
    .filter((h) => h !== null && h.to === vertex.id)
    .sort((a, b) => (b?.share ?? 0) - (a?.share ?? 0))[0];
  const columns: Column<Subtask>[] = [
    { id: 'n', name: '#', number: true, cell: (s) => s.subtask, sort: (s) => s.subtask, width: '3.5em' },
    { id: 'bar', name: 'Share', cell: (s) => <span className="bar"><span style={{ width: `${(s.metrics.recordsIn / most) * 100}%` }} /></span> },
    { id: 'share', name: '', number: true, cell: (s) => percent((s.metrics.recordsIn / total) * 100, 1), sort: (s) => s.metrics.recordsIn },
    { id: 'in', name: 'Records in', number: true, cell: (s) => whole(s.metrics.recordsIn), sort: (s) => s.metrics.recordsIn },
  ];
  return (
    <>
      <p>
        <strong>{percent(skew)} skew</strong>{' '}
        <span className="muted">{skew < 10 ? 'the subtasks get about the same' : skew < 40 ? 'some get more than others' : 'few subtasks get most of the records'}</span>
      </p>
      {hot && (
        <p className={`note ${hot.share > 0.15 ? 'warn' : 'info'}`}>
          <span>
            Busiest key group {hot.group}: {percent(hot.share * 100, 1)} of the rows sent here, to subtask {hot.toSubtask} (sampled).
          </span>
        </p>
      )}
      <Table label="Records by subtask" rows={vertex.subtasks} columns={columns.map((c) => (c.id === 'share' ? { ...c, name: <span className="sr-only">Percent</span> } : c))} rowKey={(s) => String(s.subtask)} maxHeight={400} />
    </>
  );
}

function Watermarks({ vertex }: Part) {
  const now = useNow();
  const least = vertex.subtasks.reduce<Subtask | null>((a, s) => (a === null || (s.metrics.watermark ?? -Infinity) < (a.metrics.watermark ?? -Infinity) ? s : a), null);
  const splits = vertex.subtasks.flatMap((s) => s.metrics.splits.map((split) => ({ ...split, subtask: s.subtask })));
  const columns: Column<Subtask>[] = [
    { id: 'n', name: '#', number: true, cell: (s) => s.subtask, sort: (s) => s.subtask },
    { id: 'wm', name: 'Watermark', cell: (s) => watermark(s.metrics.watermark), sort: (s) => s.metrics.watermark },
    { id: 'lag', name: 'Behind', number: true, cell: (s) => lag(s.metrics.watermark, now) ?? '–', sort: (s) => s.metrics.watermark },
    { id: 'idle', name: 'Last record', number: true, cell: (s) => (s.metrics.sourceIdleMs === null ? '–' : `${duration(s.metrics.sourceIdleMs)} ago`), sort: (s) => s.metrics.sourceIdleMs },
  ];
  return (
    <>
      {least && vertex.subtasks.length > 1 && (
        <p>
          Subtask {least.subtask} holds the watermark: <strong>{watermark(least.metrics.watermark)}</strong>
        </p>
      )}
      <Table label="Watermarks by subtask" rows={vertex.subtasks} columns={columns} rowKey={(s) => String(s.subtask)} maxHeight={300} rowClass={(s) => (s === least && vertex.subtasks.length > 1 ? 'late' : undefined)} />
      {splits.length > 0 && (
        <>
          <h3>Splits</h3>
          <Table
            label="Splits"
            rows={splits}
            columns={[
              { id: 'id', name: 'Split', cell: (s) => <code>{s.id}</code>, sort: (s) => s.id },
              { id: 'n', name: '#', number: true, cell: (s) => s.subtask, sort: (s) => s.subtask },
              { id: 'wm', name: 'Watermark', cell: (s) => watermark(s.watermark), sort: (s) => s.watermark },
              { id: 'last', name: 'Last record', number: true, cell: (s) => ago(s.lastRecordAtMs, now), sort: (s) => s.lastRecordAtMs },
            ]}
            rowKey={(s) => `${s.subtask}-${s.id}`}
            maxHeight={300}
          />
        </>
      )}
    </>
  );
}

const METRICS = ['recordsInPerSecond', 'recordsOutPerSecond', 'busyPercent', 'backpressuredPercent', 'stateBytes', 'queuedBytes'] as const;
type Metric = (typeof METRICS)[number];
type Points = [number, number | null][];

const points = (raw: any): Points => (Array.isArray(raw?.points) ? raw.points : []);

/** The job manager's last ten minutes where it keeps them, else what this page has seen. */
function useCharts(job: Job, vertex: Vertex): Record<Metric, Points> {
  const own = useHistory(`${job.id}/${vertex.id}`, vertex, {
    recordsInPerSecond: vertex.rates.recordsInPerSecond,
    recordsOutPerSecond: vertex.rates.recordsOutPerSecond,
    busyPercent: vertex.peak.busy,
    backpressuredPercent: vertex.peak.backpressured,
    stateBytes: vertex.metrics.stateBytes,
    queuedBytes: vertex.metrics.queuedBytes,
  });
  const base = `/jobs/${job.id}/metrics/history?vertex=${vertex.id}&metric=`;
  const options = { everyMs: 2000 };
  const sent: Record<Metric, Points | null> = {
    recordsInPerSecond: useLive(`${base}recordsInPerSecond`, points, options).data,
    recordsOutPerSecond: useLive(`${base}recordsOutPerSecond`, points, options).data,
    busyPercent: useLive(`${base}busyPercent`, points, options).data,
    backpressuredPercent: useLive(`${base}backpressuredPercent`, points, options).data,
    stateBytes: useLive(`${base}stateBytes`, points, options).data,
    queuedBytes: useLive(`${base}queuedBytes`, points, options).data,
  };
  return Object.fromEntries(METRICS.map((m) => [m, sent[m] && sent[m].length > 1 ? sent[m] : (own[m] ?? [])])) as Record<Metric, Points>;
}

function Charts({ series }: { series: Record<Metric, Points> }) {
  const records: Series[] = [
    { name: 'in', color: '--accent', points: series.recordsInPerSecond },
    { name: 'out', color: '--series-2', points: series.recordsOutPerSecond, dash: true },
  ];
  const load: Series[] = [
    { name: 'busy', color: '--busy', points: series.busyPercent },
    { name: 'backpressured', color: '--backpressured-line', points: series.backpressuredPercent, dash: true },
  ];
  return (
    <div className="stack">
      <Chart label="Records" series={records} format={rate} />
      <Chart label="Busiest subtask" series={load} format={(v) => percent(v)} atLeast={100} />
      <Chart label="State" series={[{ name: 'state', color: '--accent', points: series.stateBytes }]} format={bytes} atLeast={1024} />
      <Chart label="Queued at the input" series={[{ name: 'queued', color: '--accent', points: series.queuedBytes }]} format={bytes} atLeast={1024} />
    </div>
  );
}

function State({ vertex }: Part) {
  const m = vertex.metrics;
  const names = new Map(vertex.operators.map((o) => [o.uid, o]));
  const byOperator = new Map<string, { uid: string; recordsIn: number; recordsOut: number; stateBytes: number }>();
  for (const o of vertex.subtasks.flatMap((s) => s.metrics.operators)) {
    const sum = byOperator.get(o.uid) ?? { uid: o.uid, recordsIn: 0, recordsOut: 0, stateBytes: 0 };
    byOperator.set(o.uid, {
      uid: o.uid,
      recordsIn: sum.recordsIn + o.recordsIn,
      recordsOut: sum.recordsOut + o.recordsOut,
      stateBytes: sum.stateBytes + o.stateBytes,
    });
  }
  const most = Math.max(1, ...vertex.subtasks.map((s) => s.metrics.stateBytes));
  return (
    <>
      <Facts>
        <Fact name="State">{bytes(m.stateBytes)}</Fact>
        <Fact name="Late records">{whole(m.lateRecords)}</Fact>
        <Fact name="Bad records">
          {whole(m.badRecordsSkipped)} skipped, {whole(m.badRecordsDeadLettered)} dead-lettered
        </Fact>
        {m.pendingRecords !== null && <Fact name="Pending records">{whole(m.pendingRecords)}</Fact>}
        {m.restoreMs !== null && <Fact name="Restored in">{duration(m.restoreMs)}</Fact>}
        {m.latencyUs && (
          <Fact name="Latency (p50, p99, max)">{m.latencyUs.map((us) => duration(us / 1000)).join(', ')}</Fact>
        )}
      </Facts>
      {byOperator.size > 0 && (
        <>
          <h3>By operator</h3>
          <Table
            label="Operators"
            rows={[...byOperator.values()]}
            columns={[
              { id: 'name', name: 'Operator', cell: (o) => names.get(o.uid)?.name ?? o.uid, sort: (o) => o.uid },
              { id: 'kind', name: 'Kind', wide: true, cell: (o) => words(names.get(o.uid)?.kind ?? '') },
              { id: 'in', name: 'In', number: true, cell: (o) => count(o.recordsIn), sort: (o) => o.recordsIn },
              { id: 'out', name: 'Out', number: true, cell: (o) => count(o.recordsOut), sort: (o) => o.recordsOut },
              { id: 'state', name: 'State', number: true, cell: (o) => bytes(o.stateBytes), sort: (o) => o.stateBytes },
            ]}
            rowKey={(o) => o.uid}
          />
        </>
      )}
      <h3>By subtask</h3>
      {m.stateBytes === 0 ? (
        <Empty>This vertex holds no state.</Empty>
      ) : (
        <Table
          label="State by subtask"
          rows={vertex.subtasks}
          columns={[
            { id: 'n', name: '#', number: true, width: '3.5em', cell: (s) => s.subtask, sort: (s) => s.subtask },
            { id: 'bar', name: 'Share', cell: (s) => <span className="bar"><span style={{ width: `${(s.metrics.stateBytes / most) * 100}%` }} /></span> },
            { id: 'state', name: 'State', number: true, cell: (s) => bytes(s.metrics.stateBytes), sort: (s) => s.metrics.stateBytes },
          ]}
          rowKey={(s) => String(s.subtask)}
          maxHeight={300}
        />
      )}
    </>
  );
}
