// A job's configuration, secrets hidden. Address `/jobs/ID/configuration`.
import { useOnce } from '../../api/live';
import { duration, quoted, words } from '../../format';
import { CommandLine, Fact, Facts, Loading, Missing, Panel } from '../../parts/basics';
import type { JobTab } from './job';

const plain = (raw: Record<string, unknown>) => raw;

function Value({ name, value }: { name: string; value: unknown }) {
  if (value === null || value === undefined) return <>–</>;
  if (typeof value === 'number' && /Ms$/i.test(name)) return <>{duration(value)}</>;
  if (typeof value === 'object') return <code>{JSON.stringify(value)}</code>;
  return <>{value === '***' ? 'hidden (***)' : String(value)}</>;
}

const title = (key: string) => {
  const text = words(key.replace(/_/g, ' ').replace(/ ?Ms$/i, ''));
  return text[0].toUpperCase() + text.slice(1);
};

export function ConfigurationTab({ job, plan }: JobTab) {
  const answer = useOnce(`/jobs/${job.id}/config`, plain);
  if (!answer.data) return answer.error ? <Missing error={answer.error} what="Configuration" /> : <Loading what="configuration" />;
  const entries = Object.entries(answer.data);
  const flat = entries.filter(([, v]) => typeof v !== 'object' || v === null);
  const groups = entries.filter(([, v]) => typeof v === 'object' && v !== null) as [string, Record<string, unknown>][];
  return (
    <div className="stack">
      <div className="two">
        <Panel title="Job">
          <Facts>
            {flat.map(([key, value]) => (
              <Fact key={key} name={title(key)}>
                <Value name={key} value={value} />
              </Fact>
            ))}
            <Fact name="Vertices">{plan?.nodes.length ?? job.vertices.length}</Fact>
            <Fact name="Tasks">{job.tasks}</Fact>
          </Facts>
        </Panel>
        {groups.map(([key, group]) => (
          <Panel title={title(key)} key={key}>
            {Object.keys(group).length === 0 ? (
              <p className="muted">not set</p>
            ) : (
              <Facts>
                {Object.entries(group).map(([name, value]) => (
                  <Fact key={name} name={title(name)}>
                    <Value name={name} value={value} />
                  </Fact>
                ))}
              </Facts>
            )}
          </Panel>
        ))}
      </div>
      <CommandLine>{`streamctl describe job ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}
