// Attempts of a job: when each ran, what ended it, what it was restored from and how long the job
// stood still. Address `/jobs/ID/timeline`.
import { useEffect, useMemo, useState } from 'react';
import * as normalise from '../../api/normalise';
import { useNow, useOnce } from '../../api/live';
import type { Attempt, Job } from '../../api/types';
import { clock, duration, quoted, time } from '../../format';
import { Badge, CommandLine, Empty, Loading, Missing, Panel, Sentence } from '../../parts/basics';
import { ENDED, VertexName, type JobTab } from './job';

/** What the job's details say of the present attempt, for servers without the route. */
function present(job: Job): Attempt[] {
  return [
    {
      attempt: job.attempt,
      startedAtMs: job.startedAtMs,
      endedAtMs: job.endedAtMs,
      restoredFrom: job.from,
      cause: job.failure,
      downtimeMs: null,
      vertices: job.vertices.map((v) => ({
        vertex: v.id,
        subtasks: v.subtasks.map((s) => ({
          subtask: s.subtask,
          taskManager: s.taskManager,
          states: Object.entries(s.timestamps).map(([state, atMs]) => ({ state, atMs })),
        })),
      })),
    },
  ];
}

export function TimelineTab({ job, exceptionStamp }: JobTab) {
  const answer = useOnce(`/jobs/${job.id}/timeline`, normalise.timeline);
  const reload = answer.reload;
  useEffect(() => reload(), [exceptionStamp, job.status, reload]);
  const now = useNow();
  const missing = answer.error?.status === 404;
  const attempts = answer.data ?? (missing ? present(job) : null);
  const [chosen, setChosen] = useState<number | null>(null);
  if (!attempts) return answer.error ? <Missing error={answer.error} what="Timeline" /> : <Loading what="timeline" />;
  if (attempts.length === 0) return <Empty icon="clock">No attempt has started yet.</Empty>;
  const newest = [...attempts].reverse();
  const shown = newest.find((a) => a.attempt === chosen) ?? newest[0];
  return (
    <div className="stack">
      <Panel title="Attempts" note="newest first" flush>
        <ol className="attempts">
          {newest.map((a, i) => {
            const end = a.endedAtMs ?? (i === 0 && !ENDED.includes(job.status) ? now : null);
            return (
              <li key={a.attempt} className={a === shown ? 'chosen' : undefined}>
                <button type="button" aria-pressed={a === shown} onClick={() => setChosen(a.attempt)}>
                  <span className="attempt-name">Attempt {a.attempt}</span>
                  {i === 0 && !a.endedAtMs && !ENDED.includes(job.status) ? (
                    <Badge tone="good" icon="play">now</Badge>
                  ) : a.cause ? (
                    <Badge tone="bad" icon="cross">ended by a failure</Badge>
                  ) : (
                    <Badge tone="quiet">ended</Badge>
                  )}
                  <span className="muted">{time(a.startedAtMs)}</span>
                  <span>ran {a.startedAtMs !== null && end !== null ? duration(end - a.startedAtMs) : '–'}</span>
                  {a.downtimeMs !== null && a.downtimeMs > 0 && <span>after {duration(a.downtimeMs)} of downtime</span>}
                </button>
                {a.restoredFrom && (
                  <p>
                    <span className="muted">restored from</span> <code>{a.restoredFrom}</code>
                  </p>
                )}
                {a.cause && <p className="bad-text"><Sentence>{a.cause}</Sentence></p>}
              </li>
            );
          })}
        </ol>
      </Panel>
      <Panel title={`Attempt ${shown.attempt} by vertex`} note="earliest to latest subtask in each state">
        <States job={job} attempt={shown} now={now} />
      </Panel>
      <CommandLine>{`streamctl describe job ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}

const ORDER = ['CREATED', 'SCHEDULED', 'DEPLOYING', 'INITIALIZING', 'RUNNING', 'FINISHED', 'CANCELING', 'CANCELED', 'FAILED'];

function States({ job, attempt, now }: { job: Job; attempt: Attempt; now: number }) {
  const rows = useMemo(() => {
    return attempt.vertices.map((v) => {
      const at = new Map<string, number>();
      for (const s of v.subtasks) {
        for (const { state, atMs } of s.states) at.set(state, Math.max(at.get(state) ?? 0, atMs));
      }
      const states = [...at.entries()].sort((a, b) => a[1] - b[1] || ORDER.indexOf(a[0]) - ORDER.indexOf(b[0]));
      return { vertex: v.vertex, states };
    });
  }, [attempt]);
  const starts = rows.flatMap((r) => r.states.slice(0, 1).map(([, t]) => t));
  if (starts.length === 0) return <Empty icon="clock">Nothing is known of its subtasks.</Empty>;
  const from = Math.min(...starts);
  const last = Math.max(...rows.flatMap((r) => r.states.map(([, t]) => t)));
  const over = attempt.endedAtMs !== null || ENDED.includes(job.status);
  const until = Math.max(from + 1, over ? Math.max(last, attempt.endedAtMs ?? last) : now);
  const share = (ms: number) => `${Math.max(0, (ms / (until - from)) * 100)}%`;
  return (
    <div className="gantt timeline">
      <div className="gantt-axis" aria-hidden="true">
        <span style={{ left: 0 }}>{clock(from)}</span>
        <span style={{ left: '100%' }}>{clock(until)}</span>
      </div>
      <ul className="states">
        {rows.map((r) => (
          <li key={r.vertex}>
            <span className="gantt-name">
              <VertexName job={job} vertex={r.vertex} />
            </span>
            <span
              className="gantt-bar"
              role="img"
              aria-label={r.states.map(([state, t]) => `${state} at ${clock(t, true)}`).join(', ')}
              title={r.states.map(([state, t]) => `${state} ${clock(t, true)}`).join('\n')}
            >
              <span style={{ width: share((r.states[0]?.[1] ?? from) - from) }} />
              {r.states.map(([state, t], i) => (
                <span key={state} className={`state-${state.toLowerCase()}`} style={{ width: share((r.states[i + 1]?.[1] ?? until) - t) }} />
              ))}
            </span>
            <span className="gantt-end">{startup(r.states)}</span>
          </li>
        ))}
      </ul>
      <ul className="legend" aria-label="States">
        {['SCHEDULED', 'DEPLOYING', 'INITIALIZING', 'RUNNING', 'FINISHED', 'CANCELED', 'FAILED'].map((state) => (
          <li key={state}>
            <span className={`swatch state-${state.toLowerCase()}`} /> {state.toLowerCase()}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** How long the last subtask took from its creation until it ran. */
function startup(states: [string, number][]): string {
  const at = new Map(states);
  const from = at.get('CREATED') ?? at.get('SCHEDULED');
  const to = at.get('RUNNING');
  return from === undefined || to === undefined ? '' : `ran after ${duration(to - from)}`;
}
