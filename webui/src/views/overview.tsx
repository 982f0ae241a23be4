// The first page: what needs attention, the cluster's figures, and every job, failing and silent
// ones first. Address `/`.
import { useMemo, useState } from 'react';
import type { JobRow } from '../api/types';
import { useNow } from '../api/live';
import { useCluster } from '../cluster';
import { ago, bytes, count, duration, rate, whole } from '../format';
import { CommandLine, Empty, ErrorNote, Loading, Meter, Panel, Sentence, Stat, Status } from '../parts/basics';
import { Chart } from '../parts/chart';
import { useHistory } from '../parts/history';
import { Icon } from '../parts/icons';
import { LinkState } from '../parts/link-state';
import { Table, type Column } from '../parts/table';
import { useTitle } from '../parts/title';
import { Link, navigate, usePlace } from '../router';

const ENDED = ['FINISHED', 'CANCELED', 'FAILED'];

/** Failing first, then degraded, then what runs, then what is over. */
export function urgency(job: JobRow): number {
  if (job.status === 'FAILED' || job.status === 'FAILING') return 0;
  if (job.health.state === 'failing') return 1;
  if (job.status === 'RESTARTING') return 2;
  if (job.health.state === 'degraded') return 3;
  if (job.status === 'CREATED') return 4;
  return ENDED.includes(job.status) ? 6 : 5;
}

const FILTERS: { id: string; name: string; of: (job: JobRow) => boolean }[] = [
  { id: 'all', name: 'All', of: () => true },
  { id: 'attention', name: 'Need attention', of: (j) => urgency(j) < 4 },
  { id: 'running', name: 'Running', of: (j) => !ENDED.includes(j.status) },
  { id: 'ended', name: 'Ended', of: (j) => ENDED.includes(j.status) },
];

export function OverviewView() {
  useTitle('Overview');
  const { jobs, overview } = useCluster();
  const list = jobs.data;
  const ordered = useMemo(
    () => [...(list ?? [])].sort((a, b) => urgency(a) - urgency(b) || b.submittedAtMs - a.submittedAtMs),
    [list],
  );
  const running = ordered.filter((j) => !ENDED.includes(j.status));
  const throughput = running.reduce((sum, j) => sum + j.sources.recordsPerSecond, 0);
  const history = useHistory('cluster', list, { throughput });
  const attention = ordered.filter((j) => urgency(j) < 4);
  const used = overview ? overview.slots.total - overview.slots.free : 0;
  return (
    <div className="page">
      <div className="page-head">
        <h1 tabIndex={-1}>Overview</h1>
        <LinkState link={jobs.link} />
        <div className="spread" />
        <Link to="/submit" className="button primary">
          <Icon name="plus" />
          Submit a job
        </Link>
      </div>
      {jobs.error && <ErrorNote error={jobs.error} />}
      <div className="stats">
        <Stat label="Jobs running" value={whole(running.length)} note={`${ordered.length - running.length} ended`} />
        <Stat
          label="Need attention"
          value={whole(attention.length)}
          tone={attention.length > 0 ? 'bad' : undefined}
          note={attention.length > 0 ? 'failing, restarting or silent' : 'all is well'}
        />
        <Stat
          label="Slots in use"
          value={overview ? `${used} of ${overview.slots.total}` : '–'}
          note={overview && <Meter value={used} max={overview.slots.total} label={`${used} of ${overview.slots.total} slots in use`} />}
        />
        <Stat
          label="Task managers"
          value={overview ? whole(overview.taskManagers) : '–'}
          tone={overview && overview.taskManagers === 0 ? 'bad' : undefined}
          note={<Link to="/taskmanagers">Show them</Link>}
        />
        <Stat label="Records read" value={rate(throughput)} note="all sources together" />
      </div>
      {attention.length > 0 && <Attention jobs={attention} />}
      {list === null && !jobs.error ? <Loading what="jobs" /> : <Jobs jobs={ordered} />}
      {ordered.length > 0 && (
        <Panel title="Throughput">
          <Chart
            label="Records read by all sources"
            series={[{ name: 'records', color: '--accent', points: history.throughput ?? [] }]}
            format={rate}
          />
        </Panel>
      )}
      <footer className="page-foot">
        <CommandLine>streamctl get jobs</CommandLine>
        {overview && (
          <p className="muted">
            Weir {overview.version}, leader epoch {overview.leaderEpoch}, checkpoints in <code>{overview.checkpointStorage}</code>
          </p>
        )}
      </footer>
    </div>
  );
}

function Attention({ jobs }: { jobs: JobRow[] }) {
  const now = useNow();
  const shown = jobs.slice(0, 6);
  return (
    <Panel title="Needs attention" flush>
      <ul className="attention">
        {shown.map((job) => (
          <li key={job.id}>
            <span className="attention-status">
              <Status status={job.status} health={job.health} />
            </span>
            <div>
              <Link to={`/jobs/${job.id}`} className="strong">
                {job.name}
              </Link>
              {job.health.reasons.length === 0 && <div className="clip">{job.failure ?? job.message ?? ''}</div>}
              {job.health.reasons.slice(0, 2).map((reason) => (
                <div key={reason.kind} className="clip">
                  <Sentence>{reason.text}</Sentence>
                  {reason.sinceMs !== null && reason.sinceMs > 0 && <span className="muted"> · {ago(reason.sinceMs, now)}</span>}
                </div>
              ))}
            </div>
            <Link to={`/jobs/${job.id}/why`} className="button small" aria-label={`Why: ${job.name}`}>
              Why?
            </Link>
          </li>
        ))}
      </ul>
      {jobs.length > shown.length && <p className="more">and {jobs.length - shown.length} more in the list below</p>}
    </Panel>
  );
}

function Jobs({ jobs }: { jobs: JobRow[] }) {
  const { query } = usePlace();
  const filter = FILTERS.find((f) => f.id === query.get('show')) ?? FILTERS[0];
  const [words, setWords] = useState('');
  const wanted = words.trim().toLowerCase();
  const shown = useMemo(
    () => jobs.filter((j) => filter.of(j) && (!wanted || j.name.toLowerCase().includes(wanted) || j.id.startsWith(wanted))),
    [jobs, filter, wanted],
  );
  const tools = (
    <>
      <div className="segments" role="group" aria-label="Show">
        {FILTERS.map((f) => (
          <button
            key={f.id}
            type="button"
            aria-pressed={f === filter}
            onClick={() => navigate(f.id === 'all' ? '/' : `/?show=${f.id}`, { replace: true })}
          >
            {f.name} <span className="count">{jobs.filter(f.of).length}</span>
          </button>
        ))}
      </div>
      <label className="search">
        <Icon name="search" />
        <input type="search" placeholder="Name or id" aria-label="Find a job" value={words} onChange={(e) => setWords(e.target.value)} />
      </label>
    </>
  );
  if (jobs.length === 0) {
    return (
      <Panel title="Jobs">
        <Empty icon="jobs">
          <p className="strong">No job has been submitted yet.</p>
          <p>
            <Link to="/submit">Write one here</Link>, or submit a file:
          </p>
          <CommandLine>streamctl submit examples/flights/job.yaml</CommandLine>
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel title="Jobs" actions={tools} flush>
      <Table
        label="Jobs"
        rows={shown}
        columns={COLUMNS}
        rowKey={(j) => j.id}
        onRow={(j) => navigate(`/jobs/${j.id}`)}
        maxHeight={620}
        empty={<Empty icon="search">No job fits.</Empty>}
      />
    </Panel>
  );
}

function Age({ job }: { job: JobRow }) {
  const now = useNow();
  const end = job.endedAtMs ?? now;
  return <>{duration(Math.max(0, end - (job.startedAtMs ?? job.submittedAtMs)))}</>;
}

const COLUMNS: Column<JobRow>[] = [
  {
    id: 'name',
    name: 'Job',
    cell: (j) => (
      <Link to={`/jobs/${j.id}`} className="strong">
        {j.name}
      </Link>
    ),
    sort: (j) => j.name,
  },
  { id: 'status', name: 'Status', cell: (j) => <Status status={j.status} health={j.health} />, sort: (j) => urgency(j) },
  { id: 'read', name: 'Records read', number: true, cell: (j) => (ENDED.includes(j.status) ? count(j.sources.records) : rate(j.sources.recordsPerSecond)), sort: (j) => j.sources.recordsPerSecond },
  { id: 'age', name: 'Duration', number: true, cell: (j) => <Age job={j} />, sort: (j) => j.startedAtMs ?? j.submittedAtMs },
  { id: 'tasks', name: 'Tasks', number: true, wide: true, cell: (j) => whole(j.tasks), sort: (j) => j.tasks },
  { id: 'restarts', name: 'Restarts', number: true, wide: true, cell: (j) => whole(j.restarts), sort: (j) => j.restarts },
  { id: 'checkpoint', name: 'Last checkpoint', number: true, wide: true, cell: (j) => <LastCheckpoint job={j} />, sort: (j) => j.checkpoints.latest?.triggeredAtMs ?? null },
  { id: 'state', name: 'State', number: true, wide: true, cell: (j) => bytes(j.checkpoints.latest?.stateBytes), sort: (j) => j.checkpoints.latest?.stateBytes ?? null },
];

function LastCheckpoint({ job }: { job: JobRow }) {
  const now = useNow();
  const latest = job.checkpoints.latest;
  if (!latest) return <>none</>;
  return <>{ago(latest.triggeredAtMs + (latest.durationMs ?? 0), now)}</>;
}
