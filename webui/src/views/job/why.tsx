// What holds the job back now, in one sentence with its evidence. Address `/jobs/ID/why`.
import * as normalise from '../../api/normalise';
import { useLive, useNow } from '../../api/live';
import { ago, clock, quoted, words } from '../../format';
import { Badge, CommandLine, Empty, Loading, Missing, Note, Panel, Sentence } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { VertexName, type JobTab } from './job';

export function WhyTab({ job }: JobTab) {
  const why = useLive(`/jobs/${job.id}/why`, normalise.why, { everyMs: 2000 });
  const now = useNow();
  const answer = why.data;
  return (
    <div className="stack">
      {why.error && !answer && <Missing error={why.error} what="Why" />}
      {!answer && !why.error && <Loading what="answer" />}
      {answer && (
        <>
          <section className={`why ${answer.healthy ? 'healthy' : 'held'}`} aria-live="polite" aria-label="Why">
            <Icon name={answer.healthy ? 'check' : 'warning'} />
            <p>
              <Sentence>{answer.sentence}</Sentence>
            </p>
          </section>
          <Panel title="Evidence" note="what the sentence rests on" flush>
            {answer.evidence.length === 0 ? (
              <Empty icon="check">Nothing holds it back.</Empty>
            ) : (
              <ul className="evidence">
                {answer.evidence.map((e, i) => (
                  <li key={i}>
                    <span>
                      <Badge tone="info">{words(e.kind)}</Badge>
                    </span>
                    <div>
                      <p>
                        <Sentence>{e.text}</Sentence>
                      </p>
                      <p className="muted row">
                        {e.vertex && <VertexName job={job} vertex={e.vertex} subtask={e.subtask} />}
                        {e.split && <span>split {e.split}</span>}
                        {e.sinceMs !== null && e.sinceMs > 0 && <span>since {clock(e.sinceMs)}, {ago(e.sinceMs, now)}</span>}
                      </p>
                    </div>
                  </li>
                ))}
              </ul>
            )}
          </Panel>
        </>
      )}
      {job.slos.length > 0 && (
        <Panel title="Objectives" note="spec.slo of the job file" flush>
          <ul className="evidence">
            {job.slos.map((s) => (
              <li key={s.slo}>
                <span>
                  <Badge tone={s.breached ? 'bad' : 'good'} icon={s.breached ? 'warning' : 'check'}>
                    {s.breached ? 'breached' : 'held'}
                  </Badge>
                </span>
                <div>
                  <p>
                    {words(s.slo)}: {s.value || 'no value yet'} <span className="muted">of {s.limit}</span>
                  </p>
                  <p className="muted row">
                    {s.breached && s.sinceMs !== null && <span>since {clock(s.sinceMs)}, {ago(s.sinceMs, now)}</span>}
                    {s.webhook !== 'none' && <span>webhook {s.webhook}</span>}
                  </p>
                </div>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      {why.error && answer && <Note tone="warn" title="Shown as it was last known" />}
      <CommandLine>{`streamctl why ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}
