// From the API's JSON to the types of `types.ts`: absent counters become zeros, absent facts null.
// One place knows the wire; the views never ask whether a field is there. Called by `client.ts`
// users and `live.ts`.
import type {
  Attempt, Checkpoint, CheckpointCounts, CheckpointStatistics, CheckpointSubtask, Diagnostic, Dump, Evidence,
  Health, Job, JobException, JobRow, JobStatus, Operator, Overview, Plan, PlanEdge, Profile, Rates, Subtask,
  TaskManager, TaskMetrics, Validation, Vertex, Why,
} from './types';

type Raw = Record<string, any>; // eslint-disable-line -- the wire is untyped; this file types it

const list = (value: unknown): Raw[] => (Array.isArray(value) ? (value as Raw[]) : []);
const num = (value: unknown): number => (typeof value === 'number' && isFinite(value) ? value : 0);
const maybe = (value: unknown): number | null => (typeof value === 'number' && isFinite(value) ? value : null);
const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
const maybeText = (value: unknown): string | null =>
  value === null || value === undefined || value === '' ? null : String(value);

/** `chk-7`, `7` and 7 are one checkpoint. */
export const checkpointNumber = (value: unknown): number =>
  typeof value === 'number' ? value : parseInt(text(value).replace(/^\D+/, ''), 10) || 0;

function health(raw: Raw): Health {
  const sent = raw.health as Raw | undefined;
  if (sent) {
    return {
      state: sent.state === 'failing' || sent.state === 'degraded' ? sent.state : 'ok',
      reasons: list(sent.reasons).map((r) => ({ kind: text(r.kind), text: text(r.text), sinceMs: maybe(r.sinceMs) })),
    };
  }
  if (raw.status === 'FAILED' || raw.status === 'FAILING') {
    return { state: 'failing', reasons: [{ kind: 'failed', text: text(raw.failure), sinceMs: maybe(raw.endedAtMs) }] };
  }
  if (raw.status === 'RESTARTING') {
    return { state: 'degraded', reasons: [{ kind: 'restarting', text: text(raw.failure), sinceMs: null }] };
  }
  return { state: 'ok', reasons: [] };
}

function counts(raw: Raw | undefined): CheckpointCounts {
  const r = raw ?? {};
  const latest = r.latest as Raw | null | undefined;
  return {
    triggered: num(r.triggered),
    completed: num(r.completed),
    failed: num(r.failed),
    restored: maybe(r.restored),
    inProgress: r.inProgress === null || r.inProgress === undefined ? null : checkpointNumber(r.inProgress),
    latest: latest
      ? {
          id: checkpointNumber(latest.id),
          path: maybeText(latest.path),
          triggeredAtMs: num(latest.triggeredAtMs),
          durationMs: maybe(latest.durationMs),
          stateBytes: num(latest.stateBytes),
        }
      : null,
    lastFailure: maybeText(r.lastFailure),
  };
}

export function jobRow(raw: Raw): JobRow {
  const sources = (raw.sources ?? {}) as Raw;
  return {
    id: text(raw.id),
    name: text(raw.name),
    status: raw.status as JobStatus,
    message: maybeText(raw.message),
    failure: maybeText(raw.failure),
    submittedAtMs: num(raw.submittedAtMs),
    startedAtMs: maybe(raw.startedAtMs),
    endedAtMs: maybe(raw.endedAtMs),
    attempt: num(raw.attempt),
    restarts: num(raw.restarts),
    slots: { needed: num(raw.slots?.needed), held: num(raw.slots?.held) },
    tasks: num(raw.tasks),
    sources: {
      records: num(sources.records),
      recordsPerSecond: num(sources.recordsPerSecond),
      averageRecordsPerSecond: num(sources.averageRecordsPerSecond),
    },
    checkpoints: counts(raw.checkpoints),
    health: health(raw),
  };
}

export const jobRows = (raw: Raw): JobRow[] => list(raw.jobs ?? raw).map(jobRow);

function rates(raw: Raw | undefined): Rates {
  const r = raw ?? {};
  return {
    recordsInPerSecond: num(r.recordsInPerSecond),
    recordsOutPerSecond: num(r.recordsOutPerSecond),
    bytesInPerSecond: num(r.bytesInPerSecond),
    bytesOutPerSecond: num(r.bytesOutPerSecond),
    busyPercent: num(r.busyPercent),
    backpressuredPercent: num(r.backpressuredPercent),
    idlePercent: num(r.idlePercent),
  };
}

function metrics(raw: Raw | undefined): TaskMetrics {
  const r = raw ?? {};
  const hot = r.hotKeyGroup as Raw | number[] | null | undefined;
  return {
    recordsIn: num(r.recordsIn),
    recordsOut: num(r.recordsOut),
    bytesIn: num(r.bytesIn),
    bytesOut: num(r.bytesOut),
    watermark: maybe(r.watermark),
    lateRecords: num(r.lateRecords),
    badRecordsSkipped: num(r.badRecordsSkipped),
    badRecordsDeadLettered: num(r.badRecordsDeadLettered),
    busyMs: num(r.busyMs),
    backpressuredMs: num(r.backpressuredMs),
    idleMs: num(r.idleMs),
    stateBytes: num(r.stateBytes),
    queuedBytes: num(r.queuedBytes),
    latencyUs: Array.isArray(r.latencyUs) ? (r.latencyUs as [number, number, number]) : null,
    sourceIdleMs: maybe(r.sourceIdleMs),
    pendingRecords: maybe(r.pendingRecords),
    fetchEventTimeLagMs: maybe(r.fetchEventTimeLagMs),
    splits: list(r.splits).map((s) => ({
      id: text(s.id),
      watermark: maybe(s.watermark),
      lastRecordAtMs: maybe(s.lastRecordAtMs),
    })),
    hotKeyGroup: Array.isArray(hot)
      ? { group: num(hot[0]), share: num(hot[1]), to: null, toSubtask: null }
      : hot
        ? { group: num(hot.group), share: num(hot.share), to: maybeText(hot.to), toSubtask: maybe(hot.toSubtask) }
        : null,
    operators: list(r.operators).map((o) => ({
      uid: text(o.uid ?? o.operator ?? o.name),
      recordsIn: num(o.recordsIn),
      recordsOut: num(o.recordsOut),
      stateBytes: num(o.stateBytes),
    })),
    alignmentMs: maybe(r.alignmentMs),
    restoreMs: maybe(r.restoreMs),
  };
}

function subtask(raw: Raw): Subtask {
  return {
    subtask: num(raw.subtask),
    attempt: num(raw.attempt),
    state: text(raw.state),
    taskManager: maybeText(raw.taskManager),
    timestamps: (raw.timestamps ?? {}) as Record<string, number>,
    metrics: metrics(raw.metrics),
    rates: rates(raw.rates),
  };
}

function operator(raw: Raw): Operator {
  return {
    uid: text(raw.uid),
    name: text(raw.name ?? raw.uid),
    kind: text(raw.kind),
    line: maybe(raw.line),
    column: maybe(raw.column),
  };
}

function vertex(raw: Raw): Vertex {
  const subtasks = list(raw.subtasks).map(subtask);
  const most = (of: (s: Subtask) => number) => subtasks.reduce((m, s) => Math.max(m, of(s)), 0);
  return {
    id: text(raw.id),
    name: text(raw.name),
    parallelism: num(raw.parallelism),
    operators: list(raw.operators).map(operator),
    states: (raw.states ?? {}) as Record<string, number>,
    metrics: metrics(raw.metrics),
    rates: rates(raw.rates),
    peak: {
      busy: most((s) => s.rates.busyPercent),
      backpressured: most((s) => s.rates.backpressuredPercent),
      idle: most((s) => s.rates.idlePercent),
    },
    watermark: maybe(raw.watermark ?? raw.metrics?.watermark),
    subtasks,
  };
}

function edge(raw: Raw): PlanEdge {
  const how = raw.partitioning as Raw | string | undefined;
  const named = typeof how === 'string' ? how : text(how?.type);
  const keys = raw.keys ?? (typeof how === 'object' ? how.columns : []) ?? [];
  return { from: text(raw.from), to: text(raw.to), partitioning: named, keys: (keys as string[]).map(text), side: maybeText(raw.side) ?? (num(raw.output) > 0 ? 'side' : null) };
}

export function plan(raw: Raw | null | undefined): Plan | null {
  if (!raw) return null;
  if (Array.isArray(raw.nodes)) {
    return {
      nodes: list(raw.nodes).map((n) => ({ vertex: text(n.vertex), operators: list(n.operators).map(operator) })),
      edges: list(raw.edges).map(edge),
    };
  }
  // The JobGraph.
  if (!Array.isArray(raw.vertices)) return null;
  return {
    nodes: list(raw.vertices).map((v) => ({
      vertex: text(v.id),
      operators: list(v.operators).map((o) => operator({ ...o, kind: o.kind ?? o.spec?.type })),
    })),
    edges: list(raw.edges).map(edge),
  };
}

export function job(raw: Raw): Job {
  const vertices = list(raw.vertices).map(vertex);
  const row = jobRow(raw);
  return {
    ...row,
    tasks: row.tasks || vertices.reduce((n, v) => n + v.subtasks.length, 0),
    timestamps: (raw.timestamps ?? {}) as Record<string, number>,
    from: maybeText(raw.from),
    vertices,
    plan: plan(raw.plan),
    slos: list(raw.slos).map(slo),
  };
}

export function slo(raw: Raw) {
  return {
    slo: text(raw.slo),
    limit: text(raw.limit),
    value: text(raw.value),
    breached: raw.breached === true,
    sinceMs: maybe(raw.sinceMs),
    webhook: text(raw.webhook ?? 'none'),
    job: maybeText(raw.job) ?? undefined,
  };
}

function checkpointSubtask(raw: Raw, triggeredAtMs: number): CheckpointSubtask {
  const t = (raw.timings ?? {}) as Raw;
  const ms = (inMs: unknown, inUs: unknown) => maybe(inMs) ?? (maybe(inUs) ?? 0) / 1000;
  const triggered = maybe(raw.triggeredAtMs) ?? triggeredAtMs;
  const startDelayUs = maybe(t.startDelayUs) ?? maybe(raw.startDelayUs);
  const sentArrival = maybe(raw.barrierArrivedAtMs) ?? maybe(t.barrierArrivedAtMs);
  // Microseconds, where they are known, tell more than two clocks in milliseconds.
  const arrived = startDelayUs !== null ? triggered + startDelayUs / 1000 : sentArrival;
  return {
    vertex: text(raw.vertex),
    subtask: num(raw.subtask),
    finished: raw.finished === true,
    triggeredAtMs: triggered,
    barrierArrivedAtMs: arrived,
    startDelayMs: arrived === null ? 0 : Math.max(0, arrived - triggered),
    alignmentMs: ms(raw.alignmentMs ?? t.alignmentMs, t.alignmentUs),
    syncMs: ms(raw.syncMs ?? t.syncMs, t.syncUs),
    uploadMs: ms(raw.uploadMs ?? t.uploadMs, t.asyncUs),
    acknowledgedAtMs: maybe(raw.acknowledgedAtMs),
    stateBytes: num(raw.stateBytes ?? t.stateBytes),
    writtenBytes: num(raw.writtenBytes ?? t.writtenBytes),
  };
}

export function checkpoint(raw: Raw): Checkpoint {
  const triggeredAtMs = num(raw.triggeredAtMs);
  const straggler = raw.straggler as Raw | null | undefined;
  return {
    id: checkpointNumber(raw.id),
    kind: text(raw.kind ?? 'periodic'),
    status: raw.status === 'completed' || raw.status === 'failed' ? raw.status : 'inProgress',
    attempt: num(raw.attempt),
    triggeredAtMs,
    endedAtMs: maybe(raw.endedAtMs),
    committedAtMs: maybe(raw.committedAtMs),
    durationMs: maybe(raw.durationMs),
    stateBytes: num(raw.stateBytes),
    writtenBytes: num(raw.writtenBytes),
    acknowledged: num(raw.acknowledged),
    total: num(raw.total),
    cause: maybeText(raw.cause),
    path: maybeText(raw.path),
    subtasks: list(raw.subtasks).map((s) => checkpointSubtask(s, triggeredAtMs)),
    straggler: straggler
      ? {
          vertex: text(straggler.vertex),
          subtask: num(straggler.subtask),
          phase: text(straggler.phase),
          ms: num(straggler.ms),
        }
      : null,
  };
}

export const checkpoints = (raw: Raw): { summary: CheckpointCounts; checkpoints: Checkpoint[] } => ({
  summary: counts(raw.summary),
  checkpoints: list(raw.checkpoints).map(checkpoint),
});

export function statistics(raw: Raw): CheckpointStatistics {
  const latest = (raw.latest ?? {}) as Raw;
  const one = (value: unknown) => (value ? checkpoint(value as Raw) : null);
  return {
    config: (raw.config ?? {}) as Record<string, unknown>,
    percentiles: (raw.percentiles ?? {}) as CheckpointStatistics['percentiles'],
    latest: {
      completed: one(latest.completed),
      failed: one(latest.failed),
      savepoint: one(latest.savepoint),
      restored: one(latest.restored),
    },
  };
}

export function why(raw: Raw): Why {
  const evidence = list(raw.evidence).map(
    (e): Evidence => ({
      kind: text(e.kind),
      text: text(e.text),
      vertex: maybeText(e.vertex),
      subtask: maybe(e.subtask),
      split: maybeText(e.split),
      value: e.value ?? null,
      sinceMs: maybe(e.sinceMs),
    }),
  );
  return { sentence: text(raw.sentence), evidence, healthy: raw.healthy === true };
}

export function timeline(raw: Raw): Attempt[] {
  return list(raw.attempts).map((a) => ({
    attempt: num(a.attempt),
    startedAtMs: maybe(a.startedAtMs),
    endedAtMs: maybe(a.endedAtMs),
    restoredFrom: typeof a.restoredFrom === 'number' ? `chk-${a.restoredFrom}` : maybeText(a.restoredFrom),
    cause: maybeText(a.cause),
    downtimeMs: maybe(a.downtimeMs),
    vertices: list(a.vertices).map((v) => ({
      vertex: text(v.vertex),
      subtasks: list(v.subtasks).map((s) => ({
        subtask: num(s.subtask),
        taskManager: maybeText(s.taskManager),
        states: list(s.states).map((x) => ({ state: text(x.state), atMs: num(x.atMs) })),
      })),
    })),
  }));
}

/** The innermost cause is the last part of a chain joined by `: caused by: ` or new lines. */
function rootOf(chain: string): string {
  const parts = chain.split(/\n+|(?:;|:)?\s*caused by:\s*/i).filter(Boolean);
  return parts[parts.length - 1] ?? chain;
}

export function exceptions(raw: Raw): { failure: string | null; exceptions: JobException[] } {
  return {
    failure: maybeText(raw.failure),
    exceptions: list(raw.exceptions).map((e) => {
      const chain = text(e.error ?? e.message ?? e.text ?? e.cause);
      const vertexName = maybeText(e.vertexName ?? e.task ?? e.vertex);
      return {
        atMs: maybe(e.atMs ?? e.timestampMs ?? e.timeMs),
        text: chain,
        root: maybeText(e.rootCause ?? e.root) ?? rootOf(chain),
        task: vertexName === null ? null : e.subtask === undefined || e.subtask === null ? vertexName : `${vertexName} (${num(e.subtask)})`,
        taskManager: maybeText(e.taskManager),
        attempt: maybe(e.attempt),
      };
    }),
  };
}

export function diagnostic(raw: Raw): Diagnostic {
  const at = (raw.span ?? raw) as Raw;
  return {
    severity: text(raw.severity ?? 'error').toLowerCase(),
    code: text(raw.code),
    message: text(raw.message),
    line: maybe(at.line),
    column: maybe(at.column),
    endLine: maybe(at.endLine),
    endColumn: maybe(at.endColumn),
    help: maybeText(raw.help),
  };
}

export const validation = (raw: Raw): Validation => ({
  ok: raw.ok === true,
  diagnostics: list(raw.diagnostics).map(diagnostic),
  plan: plan(raw.plan),
});

export function taskManager(raw: Raw): TaskManager {
  const memory = (raw.memory ?? {}) as Raw;
  const process = (raw.process ?? {}) as Raw;
  const network = (raw.network ?? {}) as Raw;
  const cpu = (raw.cpu ?? {}) as Raw;
  const machine = (raw.machine ?? {}) as Raw;
  const cpuMs = maybe(process.cpu_ms ?? process.cpuMs);
  return {
    id: text(raw.id),
    address: text(raw.address ?? raw.dataAddr ?? raw.rpcAddr),
    slots: num(raw.slots?.total ?? raw.slots),
    freeSlots: num(raw.slots?.free ?? raw.freeSlots),
    version: text(raw.version),
    registeredAtMs: num(raw.registeredAtMs),
    lastHeartbeatMs: num(raw.lastHeartbeatMs),
    pid: maybe(raw.pid ?? process.pid),
    uptimeMs: maybe(raw.uptimeMs ?? process.uptimeMs),
    cpuSeconds: maybe(raw.cpuSeconds ?? cpu.seconds) ?? (cpuMs === null ? null : cpuMs / 1000),
    cpuPercent: maybe(raw.cpuPercent ?? cpu.percent),
    memory: {
      heapState: maybe(memory.heapState),
      network: maybe(memory.network),
      rocksdb: maybe(memory.rocksdb),
      process: maybe(memory.process ?? process.rss_bytes ?? process.rssBytes),
    },
    machine: {
      memoryBytes: maybe(machine.memoryBytes),
      availableBytes: maybe(machine.availableBytes),
      processors: maybe(machine.processors),
      cpuPercent: maybe(machine.cpuPercent),
    },
    bytesInPerSecond: maybe(raw.bytesInPerSecond ?? network.inBytesPerSecond),
    bytesOutPerSecond: maybe(raw.bytesOutPerSecond ?? network.outBytesPerSecond),
    jobs: list(raw.jobs).map(text),
    tasks: list(raw.tasks).map((t) => ({
      job: text(t.job),
      jobName: text(t.jobName),
      vertex: text(t.vertex),
      name: text(t.name),
      subtask: num(t.subtask),
      state: text(t.state),
    })),
  };
}

export const taskManagers = (raw: Raw): TaskManager[] => list(raw.taskManagers ?? raw).map(taskManager);

export function overview(raw: Raw): Overview {
  return {
    version: text(raw.version),
    leaderEpoch: num(raw.leaderEpoch),
    checkpointStorage: text(raw.checkpointStorage),
    taskManagers: num(raw.taskManagers),
    slots: { total: num(raw.slots?.total), free: num(raw.slots?.free) },
    jobs: (raw.jobs ?? {}) as Record<string, number>,
  };
}

export const dump = (raw: Raw): Dump => ({
  threads: list(raw.threads).map((t) => ({
    name: text(t.name),
    state: text(t.state),
    stack: (Array.isArray(t.stack) ? t.stack : []).map(text),
  })),
  tasks: list(raw.tasks).map((t) => ({
    job: text(t.job),
    vertex: text(t.vertex),
    subtask: num(t.subtask),
    state: text(t.state),
    doing: text(t.doing),
  })),
});

export const profile = (raw: Raw): Profile => ({
  seconds: num(raw.seconds),
  samples: num(raw.samples),
  stacks: list(raw.stacks).map((s) => ({ frames: (s.frames ?? []) as string[], count: num(s.count) })),
});
