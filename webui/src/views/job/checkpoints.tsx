// Checkpoints of a job: counts and the latest of each kind, history, summary, configuration.
// Address `/jobs/ID/checkpoints`; one of them at `/jobs/ID/checkpoints/N`.
import { useEffect, useMemo } from 'react';
import * as normalise from '../../api/normalise';
import { useNow, useOnce } from '../../api/live';
import type { Checkpoint, CheckpointCounts, CheckpointStatistics, Job, Percentiles } from '../../api/types';
import { ago, bytes, clock, duration, quoted, time, whole, words } from '../../format';
import { Badge, CommandLine, Copy, Empty, ErrorNote, Fact, Facts, Loading, Note, Panel, Sentence, Stat } from '../../parts/basics';
import { Table, type Column } from '../../parts/table';
import { Link, navigate, usePlace } from '../../router';
import { CheckpointDetail } from './checkpoint';
import type { JobTab } from './job';

export function CheckpointStatus({ status }: { status: Checkpoint['status'] }) {
  if (status === 'completed') return <Badge tone="good" icon="check">completed</Badge>;
  if (status === 'failed') return <Badge tone="bad" icon="cross">failed</Badge>;
  return <Badge tone="info" icon="clock">in progress</Badge>;
}

export function CheckpointsTab(tab: JobTab) {
  const { parts } = usePlace();
  const { job } = tab;
  const history = useOnce(`/jobs/${job.id}/checkpoints`, normalise.checkpoints);
  const summary = useOnce(`/jobs/${job.id}/checkpoints/summary`, normalise.statistics);
  const reloadHistory = history.reload;
  const reloadSummary = summary.reload;
  useEffect(() => {
    reloadHistory();
    reloadSummary();
  }, [tab.checkpointStamp, reloadHistory, reloadSummary]);
  const chosen = parts[3];
  if (!history.data) return history.error ? <ErrorNote error={history.error} /> : <Loading what="checkpoints" />;
  if (chosen) {
    return <CheckpointDetail tab={tab} id={chosen} all={history.data.checkpoints} />;
  }
  const counts = job.checkpoints;
  return (
    <div className="stack">
      <Counts counts={counts} statistics={summary.data} />
      <Latest statistics={summary.data} history={history.data.checkpoints} jobId={job.id} counts={counts} />
      <Panel title="History" note="newest first" flush>
        <History job={job} checkpoints={history.data.checkpoints} />
      </Panel>
      <Panel title="Summary" note="of the completed ones remembered" flush>
        <Summary statistics={summary.data} history={history.data.checkpoints} />
      </Panel>
      <Panel title="Configuration">
        <Configuration statistics={summary.data} />
      </Panel>
      <CommandLine>{`streamctl get checkpoints ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}

function Counts({ counts, statistics }: { counts: CheckpointCounts; statistics: CheckpointStatistics | null }) {
  const restored = counts.restored ?? (statistics?.latest.restored ? 1 : 0);
  return (
    <div className="stats compact">
      <Stat label="Triggered" value={whole(counts.triggered)} />
      <Stat label="In progress" value={counts.inProgress === null ? '0' : `chk-${counts.inProgress}`} />
      <Stat label="Completed" value={whole(counts.completed)} />
      <Stat label="Failed" value={whole(counts.failed)} tone={counts.failed > 0 ? 'bad' : undefined} />
      <Stat label="Restored" value={whole(restored)} />
    </div>
  );
}

function Latest(props: { statistics: CheckpointStatistics | null; history: Checkpoint[]; jobId: string; counts: CheckpointCounts }) {
  const { statistics, history, jobId } = props;
  const find = (test: (c: Checkpoint) => boolean) => history.find(test) ?? null;
  const latest: [string, Checkpoint | null][] = [
    ['Latest completed', statistics?.latest.completed ?? find((c) => c.status === 'completed')],
    ['Latest failed', statistics?.latest.failed ?? find((c) => c.status === 'failed')],
    ['Latest savepoint', statistics?.latest.savepoint ?? find((c) => c.kind === 'savepoint')],
    ['Restored from', statistics?.latest.restored ?? null],
  ];
  const now = useNow();
  return (
    <div className="cards">
      {latest.map(([name, c]) => (
        <div className="card" key={name}>
          <h3>{name}</h3>
          {c ? (
            <>
              <p>
                <Link to={`/jobs/${jobId}/checkpoints/${c.id}`} className="strong">
                  chk-{c.id}
                </Link>{' '}
                <span className="muted">{(c.endedAtMs ?? c.triggeredAtMs) > 0 && ago(c.endedAtMs ?? c.triggeredAtMs, now)}</span>
              </p>
              <p className="muted">
                {c.durationMs !== null && `${duration(c.durationMs)}, `}
                {bytes(c.stateBytes)}
                {c.kind && `, ${c.kind}`}
              </p>
              {c.cause && <p className="bad-text"><Sentence>{c.cause}</Sentence></p>}
              {c.path && (
                <p className="path">
                  <code>{c.path}</code>
                  <Copy text={c.path} label="Copy path" />
                </p>
              )}
            </>
          ) : (
            <p className="muted">none</p>
          )}
        </div>
      ))}
    </div>
  );
}

function Straggler({ job, checkpoint }: { job: Job; checkpoint: Checkpoint }) {
  const { straggler } = checkpoint;
  if (!straggler) return null;
  const name = job.vertices.find((v) => v.id === straggler.vertex)?.name ?? straggler.vertex.slice(0, 8);
  return (
    <span className="clip" title={`${name} #${straggler.subtask}: ${words(straggler.phase)}`}>
      {name} #{straggler.subtask} <span className="muted">{words(straggler.phase)}</span>
    </span>
  );
}

function History({ job, checkpoints }: { job: Job; checkpoints: Checkpoint[] }) {
  const jobId = job.id;
  const columns = useMemo((): Column<Checkpoint>[] => {
    return [
      {
        id: 'id',
        name: 'Checkpoint',
        cell: (c) => (
          <Link to={`/jobs/${jobId}/checkpoints/${c.id}`} className="strong">
            chk-{c.id}
          </Link>
        ),
        sort: (c) => c.id,
      },
      { id: 'status', name: 'Status', cell: (c) => <CheckpointStatus status={c.status} />, sort: (c) => c.status },
      { id: 'acks', name: 'Acknowledged', number: true, cell: (c) => `${c.acknowledged}/${c.total}`, sort: (c) => c.acknowledged },
      { id: 'e2e', name: 'End to end', number: true, cell: (c) => duration(c.durationMs), sort: (c) => c.durationMs },
      { id: 'size', name: 'State', number: true, cell: (c) => bytes(c.stateBytes), sort: (c) => c.stateBytes },
      { id: 'written', name: 'Written', number: true, wide: true, cell: (c) => bytes(c.writtenBytes), sort: (c) => c.writtenBytes },
      { id: 'triggered', name: 'Triggered', number: true, cell: (c) => <span title={time(c.triggeredAtMs)}>{clock(c.triggeredAtMs)}</span>, sort: (c) => c.triggeredAtMs },
      { id: 'straggler', name: 'Straggler', wide: true, cell: (c) => (c.straggler ? <Straggler job={job} checkpoint={c} /> : '') },
      { id: 'kind', name: 'Kind', wide: true, cell: (c) => c.kind, sort: (c) => c.kind },
      { id: 'attempt', name: 'Attempt', number: true, wide: true, cell: (c) => c.attempt, sort: (c) => c.attempt },
      { id: 'cause', name: 'Why it failed', wide: true, cell: (c) => (c.cause ? <span className="clip bad-text" title={c.cause}><Sentence>{c.cause}</Sentence></span> : '') },
    ];
  }, [jobId, job.vertices.length]); // eslint-disable-line -- names stay
  return (
    <Table
      label="Checkpoint history"
      rows={checkpoints}
      columns={columns}
      rowKey={(c) => String(c.id)}
      scroll
      maxHeight={470}
      onRow={(c) => navigate(`/jobs/${jobId}/checkpoints/${c.id}`)}
      empty={<Empty icon="camera">No checkpoint has been taken yet.</Empty>}
    />
  );
}

const ROWS: [keyof CheckpointStatistics['percentiles'], string, (n: number) => string][] = [
  ['endToEndMs', 'End to end', duration],
  ['stateBytes', 'State', bytes],
  ['writtenBytes', 'Written', bytes],
  ['alignmentMs', 'Alignment', duration],
];
const COLUMNS: [keyof Percentiles, string][] = [
  ['min', 'Min'], ['avg', 'Mean'], ['max', 'Max'], ['p50', '50%'], ['p90', '90%'], ['p95', '95%'], ['p99', '99%'], ['p999', '99.9%'],
];

/** The same figures from the history, where the server does not send them. */
export function percentilesOf(values: number[]): Percentiles | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  return {
    min: sorted[0],
    avg: sorted.reduce((a, b) => a + b, 0) / sorted.length,
    max: sorted[sorted.length - 1],
    p50: at(0.5),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
    p999: at(0.999),
  };
}

function Summary({ statistics, history }: { statistics: CheckpointStatistics | null; history: Checkpoint[] }) {
  const done = history.filter((c) => c.status === 'completed');
  const own: CheckpointStatistics['percentiles'] = {
    endToEndMs: percentilesOf(done.flatMap((c) => (c.durationMs === null ? [] : [c.durationMs]))),
    stateBytes: percentilesOf(done.map((c) => c.stateBytes)),
    writtenBytes: percentilesOf(done.map((c) => c.writtenBytes)),
  };
  const shown = statistics?.percentiles ?? own;
  return (
    <div className="table-box" tabIndex={0} role="region" aria-label="Summary of checkpoints">
      <table aria-label="Summary of checkpoints">
        <thead>
          <tr>
            <th scope="col">
              <span className="sr-only">Figure</span>
            </th>
            {COLUMNS.map(([key, name]) => (
              <th scope="col" className="number" key={key}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {ROWS.map(([key, name, format]) => (
            <tr key={key}>
              <th scope="row">{name}</th>
              {COLUMNS.map(([column]) => (
                <td className="number" key={column}>
                  {shown[key] ? format(shown[key][column]) : '–'}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `minPauseMs` -> `Min pause` */
const sentence = (key: string) => {
  const text = words(key.replace(/Ms$/, ''));
  return text.charAt(0).toUpperCase() + text.slice(1);
};

function Configuration({ statistics }: { statistics: CheckpointStatistics | null }) {
  const config = Object.entries(statistics?.config ?? {});
  if (config.length === 0) return <Note title="See the job's configuration tab" />;
  return (
    <Facts>
      {config.map(([key, value]) => (
        <Fact key={key} name={sentence(key)}>
          {/Ms$/i.test(key) && typeof value === 'number' ? duration(value) : typeof value === 'object' ? JSON.stringify(value) : String(value)}
        </Fact>
      ))}
    </Facts>
  );
}
