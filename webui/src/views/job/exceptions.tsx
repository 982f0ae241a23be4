// Why a job failed or restarted: the root cause and the history. Address `/jobs/ID/exceptions`.
import { useEffect } from 'react';
import * as normalise from '../../api/normalise';
import { useOnce } from '../../api/live';
import { quoted, time } from '../../format';
import { CommandLine, Copy, Empty, ErrorNote, Loading, Note, Panel, Sentence } from '../../parts/basics';
import { Link } from '../../router';
import type { JobTab } from './job';

export function ExceptionsTab({ job, exceptionStamp }: JobTab) {
  const answer = useOnce(`/jobs/${job.id}/exceptions`, normalise.exceptions);
  const reload = answer.reload;
  useEffect(() => reload(), [exceptionStamp, reload]);
  if (!answer.data) return answer.error ? <ErrorNote error={answer.error} /> : <Loading what="exceptions" />;
  const { failure, exceptions } = answer.data;
  // What follows from a failure is recorded, too: connections break, consumers end.
  const first = exceptions.find((e) => failure?.endsWith(e.text)) ?? exceptions[0];
  return (
    <div className="stack">
      {first || failure ? (
        <Panel title="Root cause" actions={<Copy text={failure ?? first.text} label="Copy the cause" />}>
          <p className="root-cause"><Sentence>{first?.root ?? failure ?? ''}</Sentence></p>
          {first && (
            <p className="muted row">
              <span>{time(first.atMs)}</span>
              {first.task && <span>in {first.task}</span>}
              {first.taskManager && <Link to={`/taskmanagers/${first.taskManager}`}>{first.taskManager}</Link>}
            </p>
          )}
        </Panel>
      ) : (
        <Note tone="good" title="Nothing has failed">
          Neither this attempt nor one before it.
        </Note>
      )}
      <Panel title="History" note="newest first" flush>
        {exceptions.length === 0 ? (
          <Empty icon="check">No failure is recorded.</Empty>
        ) : (
          <ol className="exceptions">
            {exceptions.map((e, i) => (
              <li key={i}>
                <details open={i === 0}>
                  <summary>
                    <span className="when">{time(e.atMs)}</span>
                    <span className="clip">{e.root}</span>
                    {e.attempt !== null && <span className="muted">attempt {e.attempt}</span>}
                  </summary>
                  <pre tabIndex={0}>{e.text}</pre>
                  <p className="muted row">
                    {e.task && <span>{e.task}</span>}
                    {e.taskManager && <Link to={`/taskmanagers/${e.taskManager}`}>{e.taskManager}</Link>}
                  </p>
                </details>
              </li>
            ))}
          </ol>
        )}
      </Panel>
      <CommandLine>{`streamctl exceptions ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}
