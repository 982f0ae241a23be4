// One checkpoint: its operators, its subtasks, and the Gantt chart that names the straggler.
// Address `/jobs/ID/checkpoints/N`.
import { useEffect, useMemo, useRef } from 'react';
import { useVirtualizer } from '@tanstack/react-virtual';
import * as normalise from '../../api/normalise';
import { useOnce } from '../../api/live';
import type { Checkpoint, CheckpointSubtask, Job, Straggler } from '../../api/types';
import { bytes, clock, duration, quoted, time } from '../../format';
import { CommandLine, Copy, Empty, ErrorNote, Fact, Facts, Loading, Note, Panel, Sentence } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { Table, type Column } from '../../parts/table';
import { Link } from '../../router';
import { CheckpointStatus } from './checkpoints';
import { VertexName, type JobTab } from './job';

const PHASES = [
  { id: 'start', name: 'Barrier on its way', of: (s: CheckpointSubtask) => s.startDelayMs },
  { id: 'align', name: 'Alignment', of: (s: CheckpointSubtask) => s.alignmentMs },
  { id: 'sync', name: 'Sync', of: (s: CheckpointSubtask) => s.syncMs },
  { id: 'upload', name: 'Upload', of: (s: CheckpointSubtask) => s.uploadMs },
] as const;

/** From the trigger to the end of its last phase. */
const spanOf = (s: CheckpointSubtask) => PHASES.reduce((sum, p) => sum + p.of(s), 0);
const ackOf = (s: CheckpointSubtask) => Math.max(spanOf(s), (s.acknowledgedAtMs ?? 0) - s.triggeredAtMs);

/** The subtask whose acknowledgement came last and the phase that cost it most. */
export function stragglerOf(subtasks: CheckpointSubtask[]): Straggler | null {
  if (subtasks.length < 2) return null;
  const last = subtasks.reduce((a, b) => (ackOf(b) > ackOf(a) ? b : a));
  const phase = PHASES.reduce((a, b) => (b.of(last) > a.of(last) ? b : a));
  return { vertex: last.vertex, subtask: last.subtask, phase: phase.name.toLowerCase(), ms: phase.of(last) };
}

export function CheckpointDetail({ tab, id, all }: { tab: JobTab; id: string; all: Checkpoint[] }) {
  const { job } = tab;
  const number = normalise.checkpointNumber(id);
  const known = all.find((c) => c.id === number);
  const detail = useOnce(`/jobs/${job.id}/checkpoints/${number}`, normalise.checkpoint);
  const reload = detail.reload;
  const open = known?.status === 'inProgress' || detail.data?.status === 'inProgress';
  useEffect(() => {
    if (open) reload();
  }, [open, tab.checkpointStamp, reload]);
  const checkpoint = detail.data?.id === number ? detail.data : null;
  const back = <Link to={`/jobs/${job.id}/checkpoints`}>All checkpoints</Link>;
  if (!checkpoint) {
    return (
      <div className="stack">
        <div>{back}</div>
        {detail.error ? <ErrorNote error={detail.error} /> : <Loading what="checkpoint" />}
      </div>
    );
  }
  const straggler = checkpoint.straggler ?? stragglerOf(checkpoint.subtasks);
  return (
    <div className="stack">
      <nav aria-label="Checkpoints" className="row">
        {back}
        <Step to={number - 1} job={job} all={all} name="Older" />
        <Step to={number + 1} job={job} all={all} name="Newer" />
      </nav>
      <Panel title={<>Checkpoint {number} <CheckpointStatus status={checkpoint.status} /></>}>
        <Facts>
          <Fact name="Triggered">{time(checkpoint.triggeredAtMs)}</Fact>
          <Fact name="End to end">{duration(checkpoint.durationMs)}</Fact>
          <Fact name="State">{bytes(checkpoint.stateBytes)}</Fact>
          <Fact name="Written">{bytes(checkpoint.writtenBytes)}</Fact>
          <Fact name="Acknowledged">
            {checkpoint.acknowledged} of {checkpoint.total}
          </Fact>
          <Fact name="Committed">{checkpoint.committedAtMs ? clock(checkpoint.committedAtMs, true) : '–'}</Fact>
          <Fact name="Kind">{checkpoint.kind}</Fact>
          <Fact name="Attempt">{checkpoint.attempt}</Fact>
        </Facts>
        {checkpoint.path && (
          <p className="path">
            <code>{checkpoint.path}</code>
            <Copy text={checkpoint.path} label="Copy path" />
          </p>
        )}
        {checkpoint.cause && <Note tone="bad" title="It failed"><Sentence>{checkpoint.cause}</Sentence></Note>}
      </Panel>
      {straggler && checkpoint.subtasks.length > 0 && <StragglerNote job={job} straggler={straggler} checkpoint={checkpoint} />}
      {checkpoint.subtasks.length === 0 ? (
        <Empty icon="clock">No subtask has acknowledged it yet.</Empty>
      ) : (
        <>
          <Panel title="Where the time went" note="from the trigger, by subtask" actions={<Legend />}>
            <Gantt job={job} checkpoint={checkpoint} straggler={straggler} />
          </Panel>
          <Panel title="Operators" flush>
            <ByVertex job={job} checkpoint={checkpoint} />
          </Panel>
          <Panel title="Subtasks" flush>
            <Subtasks job={job} checkpoint={checkpoint} straggler={straggler} />
          </Panel>
        </>
      )}
      {checkpoint.path && <CommandLine>{`streamctl submit job.yaml --from ${quoted(checkpoint.path)}`}</CommandLine>}
    </div>
  );
}

function Step({ to, job, all, name }: { to: number; job: Job; all: Checkpoint[]; name: string }) {
  if (!all.some((c) => c.id === to)) return null;
  return <Link to={`/jobs/${job.id}/checkpoints/${to}`}>{name} (chk-{to})</Link>;
}

const PHASE_WORDS: Record<string, string> = {
  barrierArrival: 'the barrier on its way',
  acknowledgement: 'the acknowledgement on its way',
  alignment: 'alignment',
  sync: 'freezing state (sync)',
  upload: 'uploading state',
};

function StragglerNote({ job, straggler, checkpoint }: { job: Job; straggler: Straggler; checkpoint: Checkpoint }) {
  const name = job.vertices.find((v) => v.id === straggler.vertex)?.name ?? straggler.vertex;
  return (
    <div className="straggler-note" data-testid="straggler">
      <Icon name="clock" />
      <p>
        <strong>Straggler:</strong> subtask {straggler.subtask} of <VertexName job={job} vertex={straggler.vertex} /> acknowledged{' '}
        {checkpoint.status === 'inProgress' ? 'last so far' : 'last'}; most of it was {PHASE_WORDS[straggler.phase] ?? straggler.phase},{' '}
        {duration(straggler.ms)}.<span className="sr-only"> ({name})</span>
      </p>
    </div>
  );
}

const Legend = () => (
  <ul className="legend" aria-label="Phases">
    {PHASES.map((p) => (
      <li key={p.id}>
        <span className={`swatch phase-${p.id}`} /> {p.name}
      </li>
    ))}
    <li>
      <span className="swatch phase-ack" /> Acknowledged
    </li>
  </ul>
);

const ROW = 26;

function Gantt({ job, checkpoint, straggler }: { job: Job; checkpoint: Checkpoint; straggler: Straggler | null }) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => {
    const order = new Map(job.vertices.map((v, i) => [v.id, i]));
    return [...checkpoint.subtasks].sort((a, b) => (order.get(a.vertex) ?? 0) - (order.get(b.vertex) ?? 0) || a.subtask - b.subtask);
  }, [checkpoint.subtasks, job.vertices.length]); // eslint-disable-line -- the order of vertices stays
  const names = useMemo(() => new Map(job.vertices.map((v) => [v.id, v.name])), [job.vertices]);
  const total = Math.max(0.001, checkpoint.durationMs ?? 0, ...rows.map(ackOf));
  const window = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 10,
    initialRect: { width: 800, height: 420 },
  });
  // The straggler may be far down: it is what people came to see.
  const late = rows.findIndex((s) => straggler?.vertex === s.vertex && straggler.subtask === s.subtask);
  useEffect(() => {
    if (late >= 0) window.scrollToIndex(late, { align: 'auto' });
  }, [late, window]);
  const share = (ms: number) => `${(ms / total) * 100}%`;
  return (
    <div className="gantt">
      <div className="gantt-axis" aria-hidden="true">
        {[0, 0.25, 0.5, 0.75, 1].map((x) => (
          <span key={x} style={{ left: `${x * 100}%` }}>
            {duration(total * x)}
          </span>
        ))}
      </div>
      <div className="gantt-rows" ref={box} tabIndex={0} role="region" aria-label="Gantt chart of the subtasks" style={{ maxHeight: 420 }}>
        <ul style={{ height: window.getTotalSize() }}>
          {window.getVirtualItems().map((item) => {
            const s = rows[item.index];
            const isLate = item.index === late;
            const label = `${names.get(s.vertex) ?? s.vertex} #${s.subtask}`;
            const says = PHASES.map((p) => `${p.name.toLowerCase()} ${duration(p.of(s))}`).join(', ');
            return (
              <li key={item.key} className={isLate ? 'late' : undefined} style={{ height: ROW, transform: `translateY(${item.start}px)` }} title={`${label}: ${says}`}>
                <span className="gantt-name">
                  {isLate && <strong>straggler</strong>}
                  <span className="clip">{names.get(s.vertex) ?? s.vertex}</span>
                  <span>#{s.subtask}</span>
                </span>
                <span className="gantt-bar" role="img" aria-label={says}>
                  {PHASES.map((p) => (
                    <span key={p.id} className={`phase-${p.id}`} style={{ width: share(p.of(s)) }} />
                  ))}
                  {s.acknowledgedAtMs !== null && <span className="phase-ack" style={{ left: share(ackOf(s)) }} />}
                </span>
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}

function ByVertex({ job, checkpoint }: { job: Job; checkpoint: Checkpoint }) {
  const rows = useMemo(() => {
    return job.vertices
      .map((v) => {
        const parts = checkpoint.subtasks.filter((s) => s.vertex === v.id);
        const most = (of: (s: CheckpointSubtask) => number) => parts.reduce((m, s) => Math.max(m, of(s)), 0);
        return {
          id: v.id,
          parallelism: v.parallelism,
          acked: parts.filter((s) => s.acknowledgedAtMs !== null).length,
          end: most(ackOf),
          align: most((s) => s.alignmentMs),
          sync: most((s) => s.syncMs),
          upload: most((s) => s.uploadMs),
          state: parts.reduce((n, s) => n + s.stateBytes, 0),
          written: parts.reduce((n, s) => n + s.writtenBytes, 0),
        };
      })
      .filter((r) => r.acked > 0);
  }, [job.vertices.length, checkpoint]); // eslint-disable-line -- names come from the job
  const columns: Column<(typeof rows)[number]>[] = [
    { id: 'name', name: 'Vertex', cell: (r) => <VertexName job={job} vertex={r.id} /> },
    { id: 'acked', name: 'Acknowledged', number: true, cell: (r) => `${r.acked}/${r.parallelism}`, sort: (r) => r.acked },
    { id: 'end', name: 'End to end', number: true, cell: (r) => duration(r.end), sort: (r) => r.end },
    { id: 'align', name: 'Alignment', number: true, wide: true, cell: (r) => duration(r.align), sort: (r) => r.align },
    { id: 'sync', name: 'Sync', number: true, wide: true, cell: (r) => duration(r.sync), sort: (r) => r.sync },
    { id: 'upload', name: 'Upload', number: true, cell: (r) => duration(r.upload), sort: (r) => r.upload },
    { id: 'state', name: 'State', number: true, cell: (r) => bytes(r.state), sort: (r) => r.state },
    { id: 'written', name: 'Written', number: true, wide: true, cell: (r) => bytes(r.written), sort: (r) => r.written },
  ];
  return <Table label="Operators of the checkpoint" rows={rows} columns={columns} rowKey={(r) => r.id} maxHeight={360} />;
}

function Subtasks({ job, checkpoint, straggler }: { job: Job; checkpoint: Checkpoint; straggler: Straggler | null }) {
  const columns: Column<CheckpointSubtask>[] = [
    { id: 'name', name: 'Subtask', cell: (s) => <VertexName job={job} vertex={s.vertex} subtask={s.subtask} />, sort: (s) => s.subtask },
    { id: 'ack', name: 'Acknowledged', number: true, cell: (s) => clock(s.acknowledgedAtMs, true), sort: (s) => s.acknowledgedAtMs },
    { id: 'end', name: 'End to end', number: true, cell: (s) => duration(ackOf(s)), sort: ackOf },
    { id: 'delay', name: 'Start delay', number: true, wide: true, cell: (s) => duration(s.startDelayMs), sort: (s) => s.startDelayMs },
    { id: 'align', name: 'Alignment', number: true, wide: true, cell: (s) => duration(s.alignmentMs), sort: (s) => s.alignmentMs },
    { id: 'sync', name: 'Sync', number: true, wide: true, cell: (s) => duration(s.syncMs), sort: (s) => s.syncMs },
    { id: 'upload', name: 'Upload', number: true, cell: (s) => duration(s.uploadMs), sort: (s) => s.uploadMs },
    { id: 'state', name: 'State', number: true, cell: (s) => bytes(s.stateBytes), sort: (s) => s.stateBytes },
    { id: 'written', name: 'Written', number: true, wide: true, cell: (s) => bytes(s.writtenBytes), sort: (s) => s.writtenBytes },
  ];
  return (
    <Table
      label="Subtasks of the checkpoint"
      rows={checkpoint.subtasks}
      columns={columns}
      rowKey={(s) => `${s.vertex}-${s.subtask}`}
      rowClass={(s) => (straggler?.vertex === s.vertex && straggler.subtask === s.subtask ? 'late' : undefined)}
      initialSort={{ id: 'end', desc: true }}
      maxHeight={420}
    />
  );
}
