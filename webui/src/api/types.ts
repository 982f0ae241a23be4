// What the HTTP API answers, as the views use it. `normalise.ts` makes these from the raw JSON;
// the contract is docs/design/0003-see-it-and-install-it.md.

export type JobStatus =
  | 'CREATED' | 'RUNNING' | 'RESTARTING' | 'FAILING' | 'FAILED' | 'CANCELLING' | 'CANCELED' | 'FINISHED';

export interface HealthReason { kind: string; text: string; sinceMs: number | null }
export interface Health { state: 'ok' | 'degraded' | 'failing'; reasons: HealthReason[] }

export interface Slo {
  slo: string;
  limit: string;
  value: string;
  breached: boolean;
  sinceMs: number | null;
  webhook: string;
  job?: string;
}

export interface LatestCheckpoint {
  id: number;
  path: string | null;
  triggeredAtMs: number;
  durationMs: number | null;
  stateBytes: number;
}

export interface CheckpointCounts {
  triggered: number;
  completed: number;
  failed: number;
  restored: number | null;
  inProgress: number | null;
  latest: LatestCheckpoint | null;
  lastFailure: string | null;
}

export interface Sources { records: number; recordsPerSecond: number; averageRecordsPerSecond: number }

export interface JobRow {
  id: string;
  name: string;
  status: JobStatus;
  message: string | null;
  failure: string | null;
  submittedAtMs: number;
  startedAtMs: number | null;
  endedAtMs: number | null;
  attempt: number;
  restarts: number;
  slots: { needed: number; held: number };
  tasks: number;
  sources: Sources;
  checkpoints: CheckpointCounts;
  health: Health;
}

export interface Rates {
  recordsInPerSecond: number;
  recordsOutPerSecond: number;
  bytesInPerSecond: number;
  bytesOutPerSecond: number;
  busyPercent: number;
  backpressuredPercent: number;
  idlePercent: number;
}

export interface SplitMetrics { id: string; watermark: number | null; lastRecordAtMs: number | null }
/** The key group that gets most of what this task sends, and the subtask it goes to. */
export interface HotKeyGroup { group: number; share: number; to: string | null; toSubtask: number | null }
export interface OperatorMetrics { uid: string; recordsIn: number; recordsOut: number; stateBytes: number }

export interface TaskMetrics {
  recordsIn: number;
  recordsOut: number;
  bytesIn: number;
  bytesOut: number;
  watermark: number | null;
  lateRecords: number;
  badRecordsSkipped: number;
  badRecordsDeadLettered: number;
  busyMs: number;
  backpressuredMs: number;
  idleMs: number;
  stateBytes: number;
  queuedBytes: number;
  latencyUs: [number, number, number] | null;
  sourceIdleMs: number | null;
  pendingRecords: number | null;
  fetchEventTimeLagMs: number | null;
  splits: SplitMetrics[];
  hotKeyGroup: HotKeyGroup | null;
  operators: OperatorMetrics[];
  alignmentMs: number | null;
  restoreMs: number | null;
}

export interface Subtask {
  subtask: number;
  attempt: number;
  state: string;
  taskManager: string | null;
  timestamps: Record<string, number>;
  metrics: TaskMetrics;
  rates: Rates;
}

export interface Operator {
  uid: string;
  name: string;
  kind: string;
  line: number | null;
  column: number | null;
}

export interface Vertex {
  id: string;
  name: string;
  parallelism: number;
  operators: Operator[];
  states: Record<string, number>;
  metrics: TaskMetrics;
  rates: Rates;
  /** The busiest, most backpressured and least idle subtask: what colours the node. */
  peak: { busy: number; backpressured: number; idle: number };
  watermark: number | null;
  subtasks: Subtask[];
}

export interface PlanEdge {
  from: string;
  to: string;
  partitioning: string;
  keys: string[];
  /** `late` or `deadLetter` when it leaves a side output. */
  side: string | null;
}
export interface PlanNode { vertex: string; operators: Operator[] }
export interface Plan { nodes: PlanNode[]; edges: PlanEdge[] }

export interface Job extends JobRow {
  timestamps: Record<string, number>;
  from: string | null;
  vertices: Vertex[];
  /** Null when the server does not send it: `GET .../graph` has it then. */
  plan: Plan | null;
  slos: Slo[];
}

export interface CheckpointSubtask {
  vertex: string;
  subtask: number;
  finished: boolean;
  triggeredAtMs: number;
  barrierArrivedAtMs: number | null;
  startDelayMs: number;
  alignmentMs: number;
  syncMs: number;
  uploadMs: number;
  acknowledgedAtMs: number | null;
  stateBytes: number;
  writtenBytes: number;
}

export interface Straggler { vertex: string; subtask: number; phase: string; ms: number }

export interface Checkpoint {
  id: number;
  kind: string;
  status: 'inProgress' | 'completed' | 'failed';
  attempt: number;
  triggeredAtMs: number;
  endedAtMs: number | null;
  committedAtMs: number | null;
  durationMs: number | null;
  /** All that it names, also in objects of earlier checkpoints. */
  stateBytes: number;
  /** Of it, what was written for this one. */
  writtenBytes: number;
  acknowledged: number;
  total: number;
  cause: string | null;
  path: string | null;
  subtasks: CheckpointSubtask[];
  straggler: Straggler | null;
}

export interface Percentiles {
  min: number; avg: number; max: number; p50: number; p90: number; p95: number; p99: number; p999: number;
}

export interface CheckpointStatistics {
  config: Record<string, unknown>;
  percentiles: Partial<Record<'endToEndMs' | 'stateBytes' | 'writtenBytes' | 'alignmentMs', Percentiles | null>>;
  latest: {
    completed: Checkpoint | null;
    failed: Checkpoint | null;
    savepoint: Checkpoint | null;
    restored: Checkpoint | null;
  };
}

export interface Evidence {
  kind: string;
  text: string;
  vertex: string | null;
  subtask: number | null;
  split: string | null;
  value: unknown;
  sinceMs: number | null;
}
export interface Why { sentence: string; evidence: Evidence[]; healthy: boolean }

export interface Attempt {
  attempt: number;
  startedAtMs: number | null;
  endedAtMs: number | null;
  restoredFrom: string | null;
  cause: string | null;
  downtimeMs: number | null;
  vertices: {
    vertex: string;
    subtasks: { subtask: number; taskManager: string | null; states: { state: string; atMs: number }[] }[];
  }[];
}

export interface JobException {
  atMs: number | null;
  text: string;
  root: string;
  task: string | null;
  taskManager: string | null;
  attempt: number | null;
}

export interface Diagnostic {
  severity: string;
  code: string;
  message: string;
  line: number | null;
  column: number | null;
  endLine: number | null;
  endColumn: number | null;
  help: string | null;
}

export interface Validation { ok: boolean; diagnostics: Diagnostic[]; plan: Plan | null }

export interface TaskManager {
  id: string;
  address: string;
  slots: number;
  freeSlots: number;
  version: string;
  registeredAtMs: number;
  lastHeartbeatMs: number;
  pid: number | null;
  uptimeMs: number | null;
  cpuSeconds: number | null;
  cpuPercent: number | null;
  memory: { heapState: number | null; network: number | null; rocksdb: number | null; process: number | null };
  /** Of the machine it runs on, or the container where that has less; CPU: 100 is one processor. */
  machine: { memoryBytes: number | null; availableBytes: number | null; processors: number | null; cpuPercent: number | null };
  bytesInPerSecond: number | null;
  bytesOutPerSecond: number | null;
  jobs: string[];
  tasks: { job: string; jobName: string; vertex: string; name: string; subtask: number; state: string }[];
}

export interface Overview {
  version: string;
  leaderEpoch: number;
  checkpointStorage: string;
  taskManagers: number;
  slots: { total: number; free: number };
  jobs: Record<string, number>;
}

export interface LogFile { id: string; name: string; bytes: number }

export interface Dump {
  threads: { name: string; state: string; stack: string[] }[];
  tasks: { job: string; vertex: string; subtask: number; state: string; doing: string }[];
}

export interface Profile { seconds: number; samples: number; stacks: { frames: string[]; count: number }[] }
