// All task managers: slots, CPU, memory, network. Address `/taskmanagers`.
import * as normalise from '../../api/normalise';
import { useLive, useNow } from '../../api/live';
import type { TaskManager } from '../../api/types';
import { ago, bytes, duration, percent } from '../../format';
import { CommandLine, Empty, ErrorNote, Loading, Meter, Panel } from '../../parts/basics';
import { LinkState } from '../../parts/link-state';
import { Table, type Column } from '../../parts/table';
import { useTitle } from '../../parts/title';
import { Link, navigate } from '../../router';

function Heartbeat({ at }: { at: number }) {
  const now = useNow();
  const late = now - at > 10_000;
  return <span className={late ? 'bad-text' : undefined}>{ago(at, now)}</span>;
}

const COLUMNS: Column<TaskManager>[] = [
  {
    id: 'id',
    name: 'Task manager',
    cell: (t) => (
      <Link to={`/taskmanagers/${t.id}`} className="strong mono">
        {t.id}
      </Link>
    ),
    sort: (t) => t.id,
  },
  {
    id: 'slots',
    name: 'Slots in use',
    number: true,
    cell: (t) => (
      <span className="with-meter">
        {t.slots - t.freeSlots} of {t.slots} <Meter value={t.slots - t.freeSlots} max={t.slots} label="" />
      </span>
    ),
    sort: (t) => t.slots - t.freeSlots,
  },
  { id: 'cpu', name: 'CPU', number: true, cell: (t) => (t.cpuPercent !== null ? percent(t.cpuPercent) : t.cpuSeconds !== null ? `${duration(t.cpuSeconds * 1000)} used` : '–'), sort: (t) => t.cpuPercent ?? t.cpuSeconds },
  { id: 'memory', name: 'Memory', number: true, cell: (t) => bytes(t.memory.process), sort: (t) => t.memory.process },
  {
    id: 'network',
    name: 'Network in, out',
    number: true,
    wide: true,
    cell: (t) => (t.bytesInPerSecond === null ? '–' : `${bytes(t.bytesInPerSecond)}/s, ${bytes(t.bytesOutPerSecond)}/s`),
    sort: (t) => (t.bytesInPerSecond ?? 0) + (t.bytesOutPerSecond ?? 0),
  },
  { id: 'machine', name: 'CPU of its machine', number: true, wide: true, cell: (t) => (t.machine.processors === null ? '–' : `${percent(t.machine.cpuPercent)} of ${t.machine.processors * 100}%`), sort: (t) => t.machine.cpuPercent },
  { id: 'jobs', name: 'Jobs', number: true, wide: true, cell: (t) => t.jobs.length, sort: (t) => t.jobs.length },
  { id: 'beat', name: 'Heartbeat', number: true, cell: (t) => <Heartbeat at={t.lastHeartbeatMs} />, sort: (t) => t.lastHeartbeatMs },
  { id: 'address', name: 'Address', wide: true, cell: (t) => <span className="mono">{t.address}</span>, sort: (t) => t.address },
  { id: 'version', name: 'Version', wide: true, cell: (t) => t.version, sort: (t) => t.version },
];

export function TaskManagersView() {
  useTitle('Task managers');
  const live = useLive('/taskmanagers', normalise.taskManagers);
  return (
    <div className="page">
      <div className="page-head">
        <h1 tabIndex={-1}>Task managers</h1>
        <LinkState link={live.link} />
      </div>
      {live.error && <ErrorNote error={live.error} />}
      {!live.data && !live.error && <Loading what="task managers" />}
      {live.data && (
        <Panel title="Registered" note={`${live.data.length}`} flush>
          <Table
            label="Task managers"
            rows={live.data}
            columns={COLUMNS}
            rowKey={(t) => t.id}
            onRow={(t) => navigate(`/taskmanagers/${t.id}`)}
            empty={
              <Empty icon="server">
                <p>No task manager is registered: jobs wait for slots.</p>
              </Empty>
            }
          />
        </Panel>
      )}
      <CommandLine>streamctl get taskmanagers</CommandLine>
    </div>
  );
}
