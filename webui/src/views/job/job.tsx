// One job: its head with the actions, and the tabs below it. Address `/jobs/ID/...`. The job is
// followed once, here; the tabs read it.
import { lazy, Suspense, useEffect, useMemo, useState, type ReactNode } from 'react';
import * as normalise from '../../api/normalise';
import { useLive, useNow, useOnce } from '../../api/live';
import type { Job, Plan } from '../../api/types';
import { ago, bytes, clock, duration, lag, rate, time, watermark, whole, words } from '../../format';
import { Badge, ErrorNote, Loading, Note, Sentence, Stat, Status, Tabs } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { LinkState } from '../../parts/link-state';
import { useTitle } from '../../parts/title';
import { Link, navigate, usePlace } from '../../router';
import { Actions } from './actions';
import { CheckpointsTab } from './checkpoints';
import { ConfigurationTab } from './configuration';
import { ExceptionsTab } from './exceptions';
import { ResultsTab } from './results';
import { TimelineTab } from './timeline';
import { WhyTab } from './why';

const TopologyTab = lazy(() => import('./topology'));
const SourceTab = lazy(() => import('./source'));

/** What every tab gets. */
export interface JobTab {
  job: Job;
  plan: Plan | null;
  /** Grows with every event about a checkpoint. */
  checkpointStamp: number;
  exceptionStamp: number;
  live: boolean;
}

export const ENDED = ['FINISHED', 'CANCELED', 'FAILED'];

export function JobView({ id }: { id: string }) {
  const [stamps, setStamps] = useState({ checkpoint: 0, exception: 0 });
  const path = `/jobs/${encodeURIComponent(id)}`;
  const live = useLive(path, normalise.job, {
    events: `${path}/events`,
    eventName: 'job',
    also: ({ event }) => {
      if (event === 'checkpoint' || event === 'exception') setStamps((s) => ({ ...s, [event]: s[event] + 1 }));
    },
  });
  const job = live.data;
  // A server that sends no plan has the graph.
  const graph = useOnce(job && !job.plan ? `${path}/graph` : null, normalise.plan);
  const sent = job?.plan;
  const shape = sent ? sent.nodes.map((n) => n.vertex).join() + sent.edges.length : '';
  const plan = useMemo(() => sent ?? graph.data, [shape, graph.data]); // eslint-disable-line -- equal shape, equal plan
  useTitle(job ? job.name : 'Job');
  // A name or the beginning of an id leads to the one address of the job.
  const place = usePlace();
  const known = job?.id;
  useEffect(() => {
    if (known && known !== id) {
      const rest = place.parts.slice(2).map(encodeURIComponent).join('/');
      const query = place.query.toString();
      navigate(`/jobs/${known}${rest ? `/${rest}` : ''}${query ? `?${query}` : ''}`, { replace: true });
    }
  }, [known, id]); // eslint-disable-line -- the place is read when the id is known
  if (!job) {
    return (
      <div className="page">
        <h1 tabIndex={-1} className="sr-only">
          Job
        </h1>
        {live.error ? <ErrorNote error={live.error} /> : <Loading what="job" />}
        {live.error && (
          <p>
            <Link to="/">All jobs</Link>
          </p>
        )}
      </div>
    );
  }
  const tab: JobTab = {
    job,
    plan,
    checkpointStamp: stamps.checkpoint + job.checkpoints.triggered + job.checkpoints.completed + job.checkpoints.failed,
    exceptionStamp: stamps.exception + job.restarts,
    live: live.link === 'live' || live.link === 'polling',
  };
  return (
    <div className="page wide-page">
      <nav className="crumbs" aria-label="Breadcrumb">
        <Link to="/">Jobs</Link> <span aria-hidden="true">/</span> <span className="mono">{job.id}</span>
      </nav>
      <div className="page-head">
        <h1 tabIndex={-1}>{job.name}</h1>
        <Status status={job.status} health={job.health} />
        <LinkState link={live.link} />
        <div className="spread" />
        <Actions job={job} />
      </div>
      {live.error && <ErrorNote error={live.error} />}
      <Health job={job} />
      <JobTabs job={job} />
      <div className="tab-body">
        <Suspense fallback={<Loading what="view" />}>
          <Body {...tab} />
        </Suspense>
      </div>
    </div>
  );
}

function Body(tab: JobTab): ReactNode {
  const { parts } = usePlace();
  switch (parts[2]) {
    case undefined:
    case 'vertices':
      return <TopologyTab {...tab} />;
    case 'checkpoints':
      return <CheckpointsTab {...tab} />;
    case 'why':
      return <WhyTab {...tab} />;
    case 'results':
      return <ResultsTab {...tab} />;
    case 'exceptions':
      return <ExceptionsTab {...tab} />;
    case 'timeline':
      return <TimelineTab {...tab} />;
    case 'configuration':
      return <ConfigurationTab {...tab} />;
    case 'source':
      return <SourceTab {...tab} />;
    default:
      return <Note tone="warn" title={`A job has no view called ${parts[2]}`} />;
  }
}

function JobTabs({ job }: { job: Job }) {
  const base = `/jobs/${job.id}`;
  const failed = job.checkpoints.failed;
  return (
    <Tabs
      label="Job"
      tabs={[
        { to: base, name: 'Topology' },
        { to: `${base}/checkpoints`, name: 'Checkpoints', mark: failed > 0 ? <span className="mark">{failed} failed</span> : null },
        { to: `${base}/why`, name: 'Why' },
        { to: `${base}/results`, name: 'Results' },
        { to: `${base}/exceptions`, name: 'Exceptions', mark: job.restarts > 0 ? <span className="mark">{job.restarts}</span> : null },
        { to: `${base}/timeline`, name: 'Timeline' },
        { to: `${base}/configuration`, name: 'Configuration' },
        { to: `${base}/source`, name: 'Job file' },
      ]}
    />
  );
}

function Health({ job }: { job: Job }) {
  const now = useNow();
  const reasons = job.health.reasons.filter((r) => r.text);
  const breached = job.slos.filter((s) => s.breached);
  if (reasons.length === 0 && breached.length === 0) {
    return job.message ? <Note tone="info" title={job.message} /> : null;
  }
  const tone = job.health.state === 'failing' ? 'bad' : 'warn';
  return (
    <Note tone={tone} title={job.status === 'FAILED' ? 'This job failed' : job.health.state === 'ok' ? 'An objective is breached' : `This job is ${job.health.state}`}>
      <ul className="plain">
        {reasons.map((r) => (
          <li key={r.kind + r.text}>
            <Sentence>{r.text}</Sentence>
            {r.sinceMs !== null && r.sinceMs > 0 && <span className="muted"> · since {clock(r.sinceMs)}, {ago(r.sinceMs, now)}</span>}
          </li>
        ))}
      </ul>
      <p className="row">
        {breached.map((s) => (
          <Badge key={s.slo} tone="bad" icon="warning">
            {words(s.slo)} {s.value}, limit {s.limit}
          </Badge>
        ))}
        <Link to={`/jobs/${job.id}/why`}>Why?</Link>
      </p>
    </Note>
  );
}

export function Figures({ job }: { job: Job }) {
  const now = useNow();
  const over = ENDED.includes(job.status);
  const marks = job.vertices.map((v) => v.watermark);
  const least = marks.some((m) => m === null) ? null : Math.min(...(marks as number[]));
  const latest = job.checkpoints.latest;
  const behind = lag(least, now);
  const began = job.startedAtMs ?? job.submittedAtMs;
  return (
    <div className="stats compact">
      <Stat label={over ? 'Ran for' : 'Running for'} value={duration(Math.max(0, (job.endedAtMs ?? now) - began))} note={time(job.submittedAtMs)} />
      <Stat
        label="Records read"
        value={over ? whole(job.sources.records) : rate(job.sources.recordsPerSecond)}
        note={over ? `${rate(job.sources.averageRecordsPerSecond)} on average` : `${whole(job.sources.records)} so far`}
      />
      <Stat label="Watermark" value={<span className="watermark">{job.vertices.length ? watermark(least) : '–'}</span>} note={behind ? `${behind} behind the clock` : undefined} />
      <Stat
        label="Last checkpoint"
        value={latest ? `chk-${latest.id}` : 'none'}
        note={latest ? `${duration(latest.durationMs)}, ${bytes(latest.stateBytes)}` : `${job.checkpoints.failed} failed`}
      />
      <Stat
        label="Attempt"
        value={whole(job.attempt)}
        tone={job.restarts > 0 ? 'warn' : undefined}
        note={job.restarts === 1 ? '1 restart' : `${job.restarts} restarts`}
      />
      <Stat label="Slots" value={`${job.slots.held} of ${job.slots.needed}`} note={`${job.tasks} tasks`} />
    </div>
  );
}

export function VertexName({ job, vertex, subtask }: { job: Job; vertex: string; subtask?: number | null }) {
  const found = job.vertices.find((v) => v.id === vertex);
  return (
    <Link to={`/jobs/${job.id}/vertices/${vertex}`} className="vertex-name">
      {found?.name ?? vertex.slice(0, 8)}
      {subtask !== undefined && subtask !== null && <span className="muted"> #{subtask}</span>}
    </Link>
  );
}

export const NotWhileOver = ({ what }: { what: string }) => (
  <Note tone="info" title={`The job is over: ${what}`}>
    <span className="row">
      <Icon name="info" /> What was recorded stays here.
    </span>
  </Note>
);
