// One task manager: slots, memory by consumer, CPU, network, logs, flame graph, task dump.
// Address `/taskmanagers/ID/...`.
import { useState } from 'react';
import * as normalise from '../../api/normalise';
import { useLive, useNow } from '../../api/live';
import { getJson } from '../../api/client';
import type { Dump, Profile, TaskManager } from '../../api/types';
import { ago, bytes, duration, percent, time } from '../../format';
import { CommandLine, Empty, ErrorNote, Fact, Facts, Loading, Meter, Missing, Note, Panel, Stat, Status, Tabs } from '../../parts/basics';
import { Chart } from '../../parts/chart';
import { Flame } from '../../parts/flame';
import { useHistory } from '../../parts/history';
import { Icon } from '../../parts/icons';
import { LinkState } from '../../parts/link-state';
import { Table, type Column } from '../../parts/table';
import { useTitle } from '../../parts/title';
import { Link, usePlace } from '../../router';
import { useCluster } from '../../cluster';
import { useCall } from '../job/actions';
import { Logs } from './logs';

export function TaskManagerView({ id }: { id: string }) {
  useTitle(id);
  const { parts } = usePlace();
  const path = `/taskmanagers/${encodeURIComponent(id)}`;
  const one = useLive(path, normalise.taskManager);
  // A server without the route has it in the list.
  const all = useLive(one.error ? '/taskmanagers' : null, normalise.taskManagers);
  const shown = one.data && !one.error ? one.data : (all.data?.find((t) => t.id === id) ?? null);
  const gone = one.error && all.data && !shown;
  const base = `/taskmanagers/${id}`;
  return (
    <div className="page">
      <nav className="crumbs" aria-label="Breadcrumb">
        <Link to="/taskmanagers">Task managers</Link>
      </nav>
      <div className="page-head">
        <h1 tabIndex={-1} className="mono">
          {id}
        </h1>
        <LinkState link={gone ? 'lost' : all.data ? all.link : one.link} />
      </div>
      {gone && (
        <Note tone="bad" title="This task manager is not registered">
          It ended or was lost. <Link to="/taskmanagers">The others</Link>
        </Note>
      )}
      <Tabs
        label="Task manager"
        tabs={[
          { to: base, name: 'Metrics' },
          { to: `${base}/logs`, name: 'Logs' },
          { to: `${base}/flame`, name: 'Flame graph' },
          { to: `${base}/dump`, name: 'Dump' },
        ]}
      />
      <div className="tab-body">
        {parts[2] === 'logs' ? (
          <Logs path={path} base={base} chosen={parts[3]} />
        ) : parts[2] === 'flame' ? (
          <FlameTab path={path} />
        ) : parts[2] === 'dump' ? (
          <DumpTab path={path} />
        ) : shown ? (
          <Metrics taskManager={shown} />
        ) : (
          !gone && (one.error && !all.data && all.error ? <ErrorNote error={one.error} /> : <Loading what="task manager" />)
        )}
      </div>
      {parts[2] === 'logs' && <CommandLine>{`streamctl logs ${id}`}</CommandLine>}
      {parts[2] === undefined && <CommandLine>{`streamctl describe taskmanager ${id}`}</CommandLine>}
    </div>
  );
}

const CONSUMERS: [keyof TaskManager['memory'], string][] = [
  ['heapState', 'Heap state'],
  ['network', 'Network buffers'],
  ['rocksdb', 'RocksDB'],
];

/** What this process takes of the machine, and what all processes take together; 100% is one processor. */
function Machine({ taskManager: t }: { taskManager: TaskManager }) {
  const { memoryBytes, availableBytes, processors, cpuPercent } = t.machine;
  const rows: [string, number | null, number | null, (value: number | null) => string][] = [
    ['CPU, this process', t.cpuPercent, processors && processors * 100, percent],
    ['CPU, all processes', cpuPercent, processors && processors * 100, percent],
    ['Memory, this process', t.memory.process, memoryBytes, bytes],
    ['Memory, all processes', memoryBytes === null || availableBytes === null ? null : memoryBytes - availableBytes, memoryBytes, bytes],
  ];
  const size = `${processors === 1 ? '1 processor' : `${processors ?? 'unknown'} processors`}, ${bytes(memoryBytes)}`;
  return (
    <Panel title="Machine" note={size}>
      <ul className="consumers" aria-label="Machine">
        {rows.map(([name, value, most, shown]) => (
          <li key={name}>
            <span>{name}</span>
            <Meter value={value ?? 0} max={most ?? 1} label={`${name} ${shown(value)} of ${shown(most)}`} />
            <span className="number">{shown(value)}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type Task = TaskManager['tasks'][number];
const TASKS: Column<Task>[] = [
  { id: 'job', name: 'Job', cell: (x) => <Link to={`/jobs/${x.job}`}>{x.jobName}</Link>, sort: (x) => x.jobName },
  {
    id: 'vertex',
    name: 'Vertex',
    cell: (x) => (
      <Link to={`/jobs/${x.job}/vertices/${x.vertex}`} className="vertex-name">
        {x.name}
      </Link>
    ),
    sort: (x) => x.name,
  },
  { id: 'n', name: '#', number: true, cell: (x) => x.subtask, sort: (x) => x.subtask },
  { id: 'state', name: 'State', cell: (x) => <Status status={x.state} />, sort: (x) => x.state },
];

function Metrics({ taskManager: t }: { taskManager: TaskManager }) {
  const now = useNow();
  const { jobs } = useCluster();
  const history = useHistory(t.id, t.lastHeartbeatMs, {
    cpu: t.cpuPercent,
    memory: t.memory.process,
    in: t.bytesInPerSecond,
    out: t.bytesOutPerSecond,
  });
  const used = t.slots - t.freeSlots;
  const process = t.memory.process ?? 0;
  const known = CONSUMERS.reduce((sum, [key]) => sum + (t.memory[key] ?? 0), 0);
  return (
    <div className="stack">
      <div className="stats compact">
        <Stat label="Slots in use" value={`${used} of ${t.slots}`} note={<Meter value={used} max={t.slots} label={`${used} of ${t.slots} slots in use`} />} />
        <Stat label="CPU" value={percent(t.cpuPercent)} note={t.cpuSeconds !== null ? `${duration(t.cpuSeconds * 1000)} used` : undefined} />
        <Stat label="Memory" value={bytes(t.memory.process)} note="of the process" />
        <Stat label="Network in" value={t.bytesInPerSecond === null ? '–' : `${bytes(t.bytesInPerSecond)}/s`} />
        <Stat label="Network out" value={t.bytesOutPerSecond === null ? '–' : `${bytes(t.bytesOutPerSecond)}/s`} />
        <Stat label="Heartbeat" value={ago(t.lastHeartbeatMs, now)} />
      </div>
      <div className="two">
        <Panel title="Memory by consumer">
          <ul className="consumers">
            {CONSUMERS.map(([key, name]) => (
              <li key={key}>
                <span>{name}</span>
                <Meter value={t.memory[key] ?? 0} max={Math.max(process, known, 1)} label={`${name} ${bytes(t.memory[key])}`} />
                <span className="number">{bytes(t.memory[key])}</span>
              </li>
            ))}
            <li>
              <span>Everything else</span>
              <Meter value={Math.max(0, process - known)} max={Math.max(process, known, 1)} label={`everything else ${bytes(Math.max(0, process - known))}`} />
              <span className="number">{bytes(Math.max(0, process - known))}</span>
            </li>
          </ul>
        </Panel>
        {t.machine.memoryBytes !== null && <Machine taskManager={t} />}
      </div>
      <Panel title="Process">
        <Facts>
          <Fact name="Address"><span className="mono">{t.address}</span></Fact>
          {t.pid !== null && <Fact name="Process id">{t.pid}</Fact>}
          <Fact name="Version">{t.version}</Fact>
          <Fact name="Registered">{time(t.registeredAtMs)}</Fact>
          <Fact name="Up for">{duration(t.uptimeMs ?? now - t.registeredAtMs)}</Fact>
          <Fact name="Jobs">
            {t.jobs.length === 0
              ? 'none'
              : t.jobs.map((id) => (
                  <Link key={id} to={`/jobs/${id}`} className="block">
                    {jobs.data?.find((j) => j.id === id)?.name ?? id.slice(0, 8)}
                  </Link>
                ))}
          </Fact>
        </Facts>
      </Panel>
      {t.tasks.length > 0 && (
        <Panel title="Tasks" note={`${t.tasks.length}`} flush>
          <Table
            label="Tasks"
            rows={t.tasks}
            columns={TASKS}
            rowKey={(x) => `${x.job}-${x.vertex}-${x.subtask}`}
            maxHeight={360}
          />
        </Panel>
      )}
      <Panel title="Last minutes">
        <div className="two">
          <Chart label="CPU" series={[{ name: 'cpu', color: '--accent', points: history.cpu ?? [] }]} format={(v) => percent(v)} atLeast={100} />
          <Chart label="Memory" series={[{ name: 'process', color: '--accent', points: history.memory ?? [] }]} format={bytes} atLeast={1 << 20} />
          <Chart
            label="Network"
            series={[
              { name: 'in', color: '--accent', points: history.in ?? [] },
              { name: 'out', color: '--series-2', points: history.out ?? [], dash: true },
            ]}
            format={(v) => `${bytes(v)}/s`}
            atLeast={1024}
          />
        </div>
      </Panel>
    </div>
  );
}

function FlameTab({ path }: { path: string }) {
  const [seconds, setSeconds] = useState(5);
  const call = useCall<Profile>();
  const run = () => call.run(async () => normalise.profile(await getJson(`${path}/profile?seconds=${seconds}`)));
  return (
    <div className="stack">
      <Panel
        title="CPU flame graph"
        note={call.done ? `${call.done.samples} samples in ${call.done.seconds} s` : 'on-CPU samples of the whole process'}
        actions={
          <>
            <label className="inline">
              <span>Seconds</span>
              <select value={seconds} onChange={(e) => setSeconds(Number(e.target.value))}>
                {[1, 5, 10, 30].map((n) => (
                  <option key={n}>{n}</option>
                ))}
              </select>
            </label>
            <button type="button" className="button primary" onClick={run} disabled={call.busy}>
              <Icon name="flame" />
              {call.busy ? `Sampling for ${seconds} s…` : 'Take a profile'}
            </button>
          </>
        }
      >
        {call.error && <Missing error={call.error} what="Profile" />}
        {call.done && call.done.stacks.length === 0 && <Empty>Nothing ran while it was sampled.</Empty>}
        {call.done && call.done.stacks.length > 0 && <Flame profile={call.done} />}
        {!call.done && !call.error && !call.busy && <Empty icon="flame">A profile shows which functions the time goes to.</Empty>}
        {call.busy && <Loading what="samples" />}
      </Panel>
    </div>
  );
}

function DumpTab({ path }: { path: string }) {
  const call = useCall<Dump>();
  const run = () => call.run(async () => normalise.dump(await getJson(`${path}/dump`)));
  const { jobs } = useCluster();
  const dump = call.done;
  return (
    <div className="stack">
      <Panel
        title="Tasks"
        note="what each does at this moment"
        flush
        actions={
          <button type="button" className="button primary" onClick={run} disabled={call.busy}>
            <Icon name="camera" />
            {call.busy ? 'Asking…' : dump ? 'Take another dump' : 'Take a dump'}
          </button>
        }
      >
        {call.error && <Missing error={call.error} what="Dump" />}
        {!dump && !call.error && <Empty icon="camera">A dump shows what each task and thread does, as a thread dump does in Flink.</Empty>}
        {dump && (
          <Table
            label="Tasks"
            rows={dump.tasks}
            columns={[
              { id: 'job', name: 'Job', cell: (t) => <Link to={`/jobs/${t.job}`}>{jobs.data?.find((j) => j.id === t.job)?.name ?? t.job.slice(0, 8)}</Link>, sort: (t) => t.job },
              { id: 'vertex', name: 'Vertex', cell: (t) => <Link to={`/jobs/${t.job}/vertices/${t.vertex}`}>{t.vertex.slice(0, 12)}</Link>, sort: (t) => t.vertex },
              { id: 'n', name: '#', number: true, cell: (t) => t.subtask, sort: (t) => t.subtask },
              { id: 'state', name: 'State', cell: (t) => t.state, sort: (t) => t.state },
              { id: 'doing', name: 'Doing', cell: (t) => t.doing, sort: (t) => t.doing },
            ]}
            rowKey={(t) => `${t.job}-${t.vertex}-${t.subtask}`}
            empty={<Empty>No task runs here.</Empty>}
          />
        )}
      </Panel>
      {dump && (
        <Panel title="Threads" note={`${dump.threads.length}`} flush>
          <ul className="threads">
            {dump.threads.map((t, i) => (
              <li key={i}>
                <details>
                  <summary>
                    <span className="mono">{t.name}</span> <span className="muted">{t.state}</span>
                  </summary>
                  <pre tabIndex={0}>{t.stack.length > 0 ? t.stack.join('\n') : 'no frames'}</pre>
                </details>
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </div>
  );
}

