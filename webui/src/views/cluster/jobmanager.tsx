// The job manager: what it is, the objectives of every job, its logs. Address `/jobmanager/...`.
import * as normalise from '../../api/normalise';
import { useLive, useNow } from '../../api/live';
import { ago, words } from '../../format';
import { Badge, CommandLine, Empty, Fact, Facts, Panel, Tabs } from '../../parts/basics';
import { Table } from '../../parts/table';
import { useTitle } from '../../parts/title';
import { Link, usePlace } from '../../router';
import { useCluster } from '../../cluster';
import { Logs } from './logs';

const slos = (raw: any) => (Array.isArray(raw) ? raw : (raw.slos ?? [])).map((s: any) => ({ ...normalise.slo(s), jobId: s.jobId ?? s.job }));

export function JobManagerView() {
  useTitle('Job manager');
  const { parts } = usePlace();
  const { overview, jobs } = useCluster();
  const all = useLive('/slos', slos, { everyMs: 3000 });
  const now = useNow();
  const nameOf = (id: string | undefined) => jobs.data?.find((j) => j.id === id)?.name ?? id ?? '';
  return (
    <div className="page">
      <div className="page-head">
        <h1 tabIndex={-1}>Job manager</h1>
      </div>
      <Tabs
        label="Job manager"
        tabs={[
          { to: '/jobmanager', name: 'Facts' },
          { to: '/jobmanager/logs', name: 'Logs' },
        ]}
      />
      <div className="tab-body">
        {parts[1] === 'logs' ? (
          <Logs path="/jobmanager" base="/jobmanager" chosen={parts[2]} />
        ) : (
          <div className="stack">
            <Panel title="Cluster">
              <Facts>
                <Fact name="Version">{overview?.version ?? '–'}</Fact>
                <Fact name="Address">{location.host}</Fact>
                <Fact name="Leader epoch">{overview?.leaderEpoch ?? '–'}</Fact>
                <Fact name="Checkpoint storage"><code>{overview?.checkpointStorage ?? '–'}</code></Fact>
                <Fact name="Task managers">{overview?.taskManagers ?? '–'}</Fact>
                <Fact name="Slots">{overview ? `${overview.slots.free} free of ${overview.slots.total}` : '–'}</Fact>
                <Fact name="API">
                  <a href="/api/v1/openapi.json">OpenAPI document</a>
                </Fact>
              </Facts>
            </Panel>
            {all.data && (
              <Panel title="Objectives" note="spec.slo of every job" flush>
                <Table
                  label="Objectives"
                  rows={all.data as ReturnType<typeof normalise.slo>[]}
                  columns={[
                    { id: 'job', name: 'Job', cell: (s) => <Link to={`/jobs/${s.job}`}>{nameOf(s.job)}</Link>, sort: (s) => nameOf(s.job) },
                    { id: 'slo', name: 'Objective', cell: (s) => words(s.slo), sort: (s) => s.slo },
                    { id: 'held', name: 'State', cell: (s) => <Badge tone={s.breached ? 'bad' : 'good'} icon={s.breached ? 'warning' : 'check'}>{s.breached ? 'breached' : 'held'}</Badge>, sort: (s) => (s.breached ? 1 : 0) },
                    { id: 'value', name: 'Value', number: true, cell: (s) => s.value || '–' },
                    { id: 'limit', name: 'Limit', number: true, cell: (s) => s.limit },
                    { id: 'since', name: 'Since', number: true, wide: true, cell: (s) => (s.breached ? ago(s.sinceMs, now) : '–') },
                    { id: 'webhook', name: 'Webhook', wide: true, cell: (s) => s.webhook },
                  ]}
                  rowKey={(s) => `${s.job}-${s.slo}`}
                  empty={<Empty icon="info">No job file sets an objective (spec.slo).</Empty>}
                />
              </Panel>
            )}
          </div>
        )}
      </div>
      <CommandLine>{parts[1] === 'logs' ? 'streamctl logs jobmanager' : 'streamctl get slos'}</CommandLine>
    </div>
  );
}
