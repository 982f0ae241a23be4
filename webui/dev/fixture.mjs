// A fixture, not a cluster: answers the HTTP API's contract with made-up jobs of 5, 50 and 500
// vertices, 200 jobs and 2,000 subtasks, and serves `dist/`. Used to work on the UI
// (`npm run fixture`) and by the tests in tests/ui that are named "fixture".
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const MIME = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const HOUR = 3_600_000;

/** Numbers that look random and are the same every time. */
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const id = (n) => n.toString(16).padStart(8, '0').repeat(4);

const KINDS = ['filter', 'project', 'windowAggregate', 'topN', 'intervalJoin', 'deduplicate'];
const WORDS = ['orders', 'clicks', 'payments', 'sessions', 'users', 'prices', 'alerts', 'devices', 'routes', 'bids'];

/** `n` vertices in layers, each fed by one to three of those before it. */
function makePlan(n, seed) {
  const roll = dice(seed);
  const sources = Math.max(1, Math.round(n / 12));
  const sinks = Math.max(1, Math.round(n / 14));
  const nodes = [];
  const edges = [];
  for (let i = 0; i < n; i += 1) {
    const role = i < sources ? 'source' : i >= n - sinks ? 'sink' : 'middle';
    const word = `${WORDS[i % WORDS.length]}${n > 10 ? `_${Math.floor(i / WORDS.length)}` : ''}`;
    const operator = (name, kind, more) => ({ uid: name, name, kind, line: 8 + i * 3, column: 5, ...more });
    const operators =
      role === 'source'
        ? [operator(word, 'source'), operator(`${word}$watermark`, 'watermark'), operator(`${word}_valid`, 'filter')]
        : role === 'sink'
          ? [operator(`${word}_rows`, 'project'), operator(`${word}_out`, 'sink')]
          : [operator(`${word}_${KINDS[i % KINDS.length]}`, KINDS[i % KINDS.length])];
    nodes.push({ vertex: id(seed * 10_000 + i + 1), operators });
    if (role === 'source') continue;
    const reach = Math.max(4, Math.round(n / 8));
    const from = new Set();
    const inputs = role === 'sink' ? 1 : 1 + Math.floor(roll() * (n > 20 ? 2 : 1.5));
    for (let k = 0; k < inputs; k += 1) {
      const lowest = Math.max(0, i - reach);
      const highest = Math.min(i, n - sinks);
      from.add(lowest + Math.floor(roll() * Math.max(1, highest - lowest)));
    }
    for (const f of from) {
      const hash = roll() < 0.6;
      edges.push({
        from: nodes[f].vertex,
        to: nodes[i].vertex,
        partitioning: hash ? 'hash' : ['forward', 'rebalance', 'broadcast'][Math.floor(roll() * 3)],
        side: null,
        keys: hash ? [['user_id', 'auction', 'origin, dest', 'device'][i % 4]] : [],
      });
    }
  }
  return { nodes, edges };
}

function taskMetrics(roll, tick, source, slow, hot) {
  const records = 1e6 + Math.floor(roll() * 1e6) + tick * 500;
  return {
    recordsIn: slow ? records * 3 : records,
    recordsOut: Math.floor(records * 0.7),
    bytesIn: records * 48,
    bytesOut: Math.floor(records * 33),
    watermark: Date.now() - 4000 - (slow ? 90_000 : Math.floor(roll() * 1000)),
    lateRecords: Math.floor(roll() * 30),
    badRecordsSkipped: 0,
    badRecordsDeadLettered: 2,
    busyMs: 1,
    backpressuredMs: 1,
    idleMs: 1,
    stateBytes: source ? 0 : Math.floor(roll() * 8e7),
    queuedBytes: slow ? 900_000 : Math.floor(roll() * 30_000),
    latencyUs: null,
    sourceIdleMs: source ? (slow ? 95_000 : 200) : null,
    pendingRecords: source ? Math.floor(roll() * 9000) : null,
    splits: source ? [0, 1].map((s) => ({ id: `part-${s}.parquet`, watermark: Date.now() - 4000, lastRecordAtMs: Date.now() - 300 })) : [],
    hotKeyGroup: hot,
    operators: [],
  };
}

const add = (list, key) => list.reduce((n, x) => n + x[key], 0);

function makeVertices(spec, tick) {
  const slowAt = Math.floor(spec.plan.nodes.length * 0.6);
  return spec.plan.nodes.map((node, i) => {
    const source = node.operators[0].kind === 'source';
    const subtasks = Array.from({ length: spec.parallelism }, (_, s) => {
      const roll = dice(spec.seed + i * 131 + s * 17 + tick);
      const slow = spec.slow && i === slowAt && s === Math.min(3, spec.parallelism - 1);
      const upstream = spec.slow && i < slowAt && i > slowAt - 3;
      const busy = slow ? 96 + roll() * 4 : 8 + roll() * 40;
      const backpressured = upstream ? 62 + roll() * 30 : roll() * 6;
      const records = (slow ? 9000 : 3000) + roll() * 500;
      return {
        subtask: s,
        attempt: spec.attempt,
        state: spec.ended ? 'FINISHED' : 'RUNNING',
        taskManager: `tm-${(s % 4) + 1}`,
        timestamps: { CREATED: spec.at, SCHEDULED: spec.at + 12, DEPLOYING: spec.at + 20, INITIALIZING: spec.at + 60, RUNNING: spec.at + 240 },
        metrics: taskMetrics(roll, tick, source, slow, i === slowAt - 1 && spec.slow ? { group: 77, share: 0.61, to: spec.plan.nodes[slowAt].vertex, toSubtask: Math.min(3, spec.parallelism - 1) } : null),
        rates: {
          recordsInPerSecond: spec.ended ? 0 : records,
          recordsOutPerSecond: spec.ended ? 0 : records * 0.7,
          bytesInPerSecond: records * 48,
          bytesOutPerSecond: records * 33,
          busyPercent: spec.ended ? 0 : Math.min(100, busy),
          backpressuredPercent: spec.ended ? 0 : Math.min(100 - Math.min(100, busy), backpressured),
          idlePercent: spec.ended ? 0 : Math.max(0, 100 - busy - backpressured),
        },
      };
    });
    const metrics = subtasks.map((s) => s.metrics);
    const rates = subtasks.map((s) => s.rates);
    return {
      id: node.vertex,
      name: node.operators.map((o) => o.name).join(' -> '),
      parallelism: spec.parallelism,
      operators: node.operators,
      states: { [spec.ended ? 'FINISHED' : 'RUNNING']: spec.parallelism },
      metrics: { ...metrics[0], recordsIn: add(metrics, 'recordsIn'), recordsOut: add(metrics, 'recordsOut'), stateBytes: add(metrics, 'stateBytes'), bytesIn: add(metrics, 'bytesIn') },
      rates: { ...rates[0], recordsInPerSecond: add(rates, 'recordsInPerSecond'), recordsOutPerSecond: add(rates, 'recordsOutPerSecond') },
      watermark: Math.min(...metrics.map((m) => m.watermark)),
      subtasks,
    };
  });
}

function specs(now) {
  const base = (seed, name, nodes, parallelism, more = {}) => ({
    seed, name, id: id(0xa0000 + seed), plan: makePlan(nodes, seed), parallelism, at: now - 2 * HOUR, attempt: 1, restarts: 0, ...more,
  });
  return [
    base(1, 'five-vertices', 5, 4, { slow: true, attempt: 3, restarts: 2, health: { state: 'degraded', reasons: [
      { kind: 'silentSource', text: 'source `orders` has read nothing for 1m 35s', sinceMs: now - 95_000 },
      { kind: 'watermarkStalled', text: 'the watermark of `clicks_windowAggregate` stands still', sinceMs: now - 92_000 },
    ] } }),
    base(2, 'fifty-vertices', 50, 4, { slow: true }),
    base(3, 'five-hundred-vertices', 500, 1),
    base(4, 'two-thousand-subtasks', 20, 100, { slow: true }),
  ];
}

const STATUSES = ['RUNNING', 'RUNNING', 'RUNNING', 'RUNNING', 'FINISHED', 'CANCELED', 'FAILED', 'RESTARTING'];

function otherJob(n, now) {
  const status = STATUSES[n % STATUSES.length];
  const ended = ['FINISHED', 'CANCELED', 'FAILED'].includes(status);
  return row({
    id: id(0xb0000 + n),
    name: `${WORDS[n % WORDS.length]}-${n}`,
    status,
    at: now - n * 60_000 - HOUR,
    failure: status === 'FAILED' ? 'sink `out`: s3://results answered 503 (slow down) after 5 tries' : null,
    restarts: n % 5,
    attempt: 1 + (n % 5),
    tasks: 12,
    rate: ended ? 0 : 800 + n * 37,
    ended: ended ? now - n * 1000 : null,
  });
}

function row(j) {
  const now = Date.now();
  return {
    id: j.id, name: j.name, status: j.status ?? 'RUNNING', message: null, failure: j.failure ?? null,
    submittedAtMs: j.at, startedAtMs: j.at + 300, endedAtMs: j.ended ?? null, attempt: j.attempt, restarts: j.restarts,
    slots: { needed: j.parallelism ?? 2, held: j.parallelism ?? 2 }, tasks: j.tasks,
    sources: { records: 48_123_456, recordsPerSecond: j.rate ?? 24_000, averageRecordsPerSecond: 22_000 },
    checkpoints: {
      triggered: 112, completed: 109, failed: 2, restored: j.restarts, inProgress: null,
      latest: { id: 112, path: `s3://weir/${j.id}/chk-112`, triggeredAtMs: now - 7000, durationMs: 840, stateBytes: 734_003_200 },
      lastFailure: null,
    },
    health: j.health ?? (j.status === 'FAILED' ? { state: 'failing', reasons: [{ kind: 'failed', text: j.failure, sinceMs: j.ended }] }
      : j.status === 'RESTARTING' ? { state: 'failing', reasons: [{ kind: 'restarting', text: 'task `join (2/4)` lost its task manager tm-9', sinceMs: now - 4000 }] }
        : { state: 'ok', reasons: [] }),
  };
}

function details(spec, tick) {
  const vertices = makeVertices(spec, tick);
  return {
    ...row({ ...spec, tasks: vertices.length * spec.parallelism, rate: vertices[0].rates.recordsInPerSecond }),
    timestamps: { CREATED: spec.at, RUNNING: spec.at + 300 },
    from: null,
    slos: spec.slow ? [
      { slo: 'freshness', limit: '30s', value: '1m 35s', breached: true, sinceMs: Date.now() - 65_000, webhook: 'sent' },
      { slo: 'checkpointAge', limit: '5m', value: '7s', breached: false, sinceMs: null, webhook: 'none' },
    ] : [],
    plan: spec.plan,
    vertices,
  };
}

function checkpoint(spec, n, withSubtasks) {
  const roll = dice(spec.seed * 1000 + n);
  const at = Date.now() - (113 - n) * 10_000;
  const failed = n === 98;
  const duration = Math.floor(400 + roll() * 700);
  const count = spec.plan.nodes.length * spec.parallelism;
  const record = {
    id: n, kind: n === 100 ? 'savepoint' : n % 25 === 0 ? 'manual' : 'periodic', status: failed ? 'failed' : 'completed', attempt: spec.attempt,
    triggeredAtMs: at, endedAtMs: at + duration, committedAtMs: failed ? null : at + duration + 9, durationMs: duration,
    stateBytes: 700_000_000 + n * 1_000_000, writtenBytes: 3_000_000 + n * 20_000, acknowledged: failed ? count - 1 : count, total: count,
    cause: failed ? 'not complete within 2m: subtask 3 of `clicks_windowAggregate` did not acknowledge' : null,
    path: failed ? null : `s3://weir/${spec.id}/chk-${n}`,
  };
  if (!withSubtasks) return record;
  const late = { vertex: spec.plan.nodes[Math.floor(spec.plan.nodes.length * 0.6)].vertex, subtask: Math.min(3, spec.parallelism - 1) };
  record.subtasks = spec.plan.nodes.flatMap((node, depth) =>
    Array.from({ length: spec.parallelism }, (_, subtask) => {
      const slow = node.vertex === late.vertex && subtask === late.subtask;
      const start = 4 + (depth / spec.plan.nodes.length) * 60 + roll() * 12;
      const alignmentMs = roll() * 30;
      const syncMs = 1 + roll() * 4;
      const uploadMs = slow ? duration - start - alignmentMs - syncMs - 10 : 20 + roll() * 140;
      return {
        vertex: node.vertex, subtask, finished: false, triggeredAtMs: at, barrierArrivedAtMs: at + start, alignmentMs, syncMs, uploadMs,
        acknowledgedAtMs: at + start + alignmentMs + syncMs + uploadMs + 4, stateBytes: Math.floor(roll() * 4e7) * (slow ? 6 : 1),
        writtenBytes: 120_000 + subtask * 3_000,
      };
    }),
  );
  record.straggler = { ...late, phase: 'upload', ms: record.subtasks.find((s) => s.vertex === late.vertex && s.subtask === late.subtask).uploadMs };
  return record;
}

const spread = (a, b) => ({ min: a, avg: (a + b) / 2.2, max: b, p50: (a + b) / 2.4, p90: b * 0.8, p95: b * 0.9, p99: b * 0.97, p999: b });

function jobRoutes(spec, rest, query, now) {
  switch (rest[0]) {
    case undefined:
      return details(spec, Math.floor(now / 1000));
    case 'checkpoints': {
      const numbers = Array.from({ length: 50 }, (_, i) => 112 - i);
      if (rest[1] === 'summary') {
        return {
          config: { intervalMs: 10_000, timeoutMs: 120_000, minPauseMs: 0, tolerableFailures: 3, retain: 3, mode: 'exactly-once' },
          percentiles: { endToEndMs: spread(402, 1098), stateBytes: spread(7.1e8, 8.2e8), writtenBytes: spread(3e6, 5e6), alignmentMs: spread(0.2, 31) },
          latest: { completed: checkpoint(spec, 112), failed: checkpoint(spec, 98), savepoint: checkpoint(spec, 100), restored: spec.restarts ? checkpoint(spec, 71) : null },
        };
      }
      if (rest[1]) return checkpoint(spec, Number(rest[1].replace(/\D/g, '')), true);
      return { summary: row(spec).checkpoints, checkpoints: numbers.map((n) => checkpoint(spec, n)) };
    }
    case 'why': {
      const vertex = spec.plan.nodes[Math.floor(spec.plan.nodes.length * 0.6)];
      const name = vertex.operators[0].name;
      return spec.slow
        ? {
            healthy: false,
            sentence: `\`${name}\` is too slow: subtask ${Math.min(3, spec.parallelism - 1)} is 98% busy and everything before it waits for it.`,
            evidence: [
              { kind: 'backpressure', text: `the first backpressured chain ends in \`${name}\`, 98% busy`, vertex: vertex.vertex, subtask: Math.min(3, spec.parallelism - 1), split: null, value: 98, sinceMs: now - 61_000 },
              { kind: 'hotKeyGroup', text: '61% of its rows are of key group 77', vertex: vertex.vertex, subtask: 3, split: null, value: 0.61, sinceMs: null },
              { kind: 'watermark', text: 'split part-1.parquet holds the watermark', vertex: spec.plan.nodes[0].vertex, subtask: 0, split: 'part-1.parquet', value: null, sinceMs: now - 92_000 },
              { kind: 'restart', text: 'it restarted 41 minutes ago: task manager tm-3 was lost', vertex: null, subtask: null, split: null, value: null, sinceMs: now - 41 * 60_000 },
            ],
          }
        : { healthy: true, sentence: 'Nothing holds this job back: it reads as fast as records come.', evidence: [] };
    }
    case 'exceptions':
      return {
        failure: spec.restarts ? 'task manager tm-3 was lost: no heartbeat for 10 s' : null,
        exceptions: Array.from({ length: spec.restarts }, (_, i) => ({
          timestampMs: now - (i + 1) * 41 * 60_000, attempt: spec.attempt - i - 1, kind: 'external',
          message: 'task failed: caused by: task manager tm-3 was lost: no heartbeat for 10 s', task: 'orders -> orders_valid (2/4)', taskManager: 'tm-3',
        })),
      };
    case 'timeline':
      return {
        attempts: Array.from({ length: spec.attempt }, (_, i) => ({
          attempt: i + 1, startedAtMs: spec.at + i * 41 * 60_000, endedAtMs: i + 1 < spec.attempt ? spec.at + (i + 1) * 41 * 60_000 - 1400 : null,
          restoredFrom: i ? `s3://weir/${spec.id}/chk-${i * 35}` : null, cause: i + 1 < spec.attempt ? 'task manager tm-3 was lost: no heartbeat for 10 s' : null,
          downtimeMs: i ? 1400 : null,
          vertices: spec.plan.nodes.slice(0, 60).map((node, v) => ({ vertex: node.vertex, subtasks: Array.from({ length: Math.min(4, spec.parallelism) }, (_, s) => ({
            subtask: s, taskManager: `tm-${s + 1}`,
            states: ['CREATED', 'SCHEDULED', 'DEPLOYING', 'INITIALIZING', 'RUNNING'].map((state, k) => ({ state, atMs: spec.at + i * 41 * 60_000 + k * (90 + v) * (k === 4 ? 3 : 1) })),
          })) })),
        })),
      };
    case 'config':
      return {
        parallelism: spec.parallelism, maxParallelism: 128, stateBackend: 'rocksdb',
        checkpoint: { intervalMs: 10_000, timeoutMs: 120_000, minPauseMs: 0, tolerableFailures: 3, retain: 3 },
        restart: { strategy: 'exponential', initialMs: 1000, maxMs: 60_000, multiplier: 2 },
        slo: { freshnessMs: 30_000, webhook: { url: 'https://hooks.example/weir', secret: '***' } },
      };
    case 'source':
      return { format: 'yaml', text: sourceText(spec) };
    case 'metrics': {
      const metric = query.get('metric');
      const roll = dice(metric.length * 7);
      const most = /Percent/.test(metric) ? 90 : /Bytes/.test(metric) ? 5e7 : 12_000;
      return { metric, points: Array.from({ length: 300 }, (_, i) => [now - (300 - i) * 2000, most * (0.6 + 0.3 * Math.sin(i / 20) + roll() * 0.1)]) };
    }
    case 'cancel':
      return { id: spec.id, status: 'CANCELLING' };
    default:
      return null;
  }
}

function sourceText(spec) {
  const lines = ['apiVersion: weir.dev/v1', 'kind: StreamJob', `metadata: { name: ${spec.name} }`, 'spec:', `  parallelism: ${spec.parallelism}`, '  sources:', '  # made up'];
  for (const node of spec.plan.nodes) lines.push(`    ${node.operators[0].name}:`, `      type: ${node.operators[0].kind}`, '      inputs: []');
  return `${lines.join('\n')}\n`;
}

const taskManager = (n, now) => ({
  id: `tm-${n}`, address: `10.0.0.${n}:43023`, slots: 40, freeSlots: n * 4, version: '0.1.0', registeredAtMs: now - 5 * HOUR, lastHeartbeatMs: now - 200,
  pid: 4000 + n, uptimeMs: 5 * HOUR, cpuSeconds: 8123 + n, cpuPercent: 130 + n * 21 + (now % 13), bytesInPerSecond: 34e6 + (now % 1e6), bytesOutPerSecond: 31e6,
  memory: { heapState: 734_003_200, network: 67_108_864, rocksdb: 1_288_490_188, process: 2_791_728_742 },
  machine: { memoryBytes: 17_179_869_184, availableBytes: 11_402_563_584, processors: 8, cpuPercent: 210 + n * 21 + (now % 17) }, jobs: [id(0xa0001), id(0xa0004)],
});

const FRAMES = ['tokio::runtime::task::poll', 'runtime::task::run', 'runtime::chain::push', 'runtime::window::aggregate', 'arrow::compute::kernels::take', 'state::table::upsert', 'hashbrown::raw::insert', 'parquet::arrow::read_batch', 'lz4::decompress'];

function profile(seconds) {
  const roll = dice(5);
  const stacks = Array.from({ length: 60 }, () => {
    const depth = 2 + Math.floor(roll() * 6);
    const frames = FRAMES.slice(0, 2);
    for (let i = 2; i < depth; i += 1) frames.push(FRAMES[Math.min(FRAMES.length - 1, i + Math.floor(roll() * 3))]);
    return { frames, count: 1 + Math.floor(roll() * 40) };
  });
  return { seconds, samples: stacks.reduce((n, s) => n + s.count, 0), stacks };
}

function diagnose(text) {
  const lines = text.split('\n');
  const at = lines.findIndex((l) => /connektor/.test(l));
  if (at < 0) return { ok: true, diagnostics: [], plan: makePlan(3, 9) };
  const column = lines[at].indexOf('connektor') + 1;
  return {
    ok: false, plan: null,
    diagnostics: [{ severity: 'error', code: 'E0101', message: 'unknown field `connektor`', line: at + 1, column, endLine: at + 1, endColumn: column + 9, help: 'did you mean `connector`?' }],
  };
}

/** Starts the fixture. `options.jobs`: how many jobs more; `options.token`: ask for it. */
export async function startFixture(options = {}) {
  const now = Date.now();
  const main = specs(now);
  const others = Array.from({ length: options.jobs ?? 196 }, (_, n) => otherJob(n, now));
  const list = () => ({ jobs: [...main.map((s) => row({ ...s, tasks: s.plan.nodes.length * s.parallelism })), ...others] });
  const overview = () => ({
    version: '0.1.0', leaderEpoch: 7, checkpointStorage: 's3://weir', taskManagers: 4, slots: { total: 160, free: 40 }, jobs: { RUNNING: 104 },
  });
  const find = (name) => main.find((s) => s.id === name || s.name === name || s.id.startsWith(name));
  const timers = new Set();

  function sse(response, everyMs, send) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    let n = 0;
    const push = (event, data) => response.write(`id: ${(n += 1)}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    send(push);
    const timer = setInterval(() => send(push), everyMs);
    timers.add(timer);
    response.on('close', () => (clearInterval(timer), timers.delete(timer)));
  }

  async function body(request) {
    let text = '';
    for await (const piece of request) text += piece;
    return text ? JSON.parse(text) : {};
  }

  async function api(request, response, path, query) {
    const json = (value, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const missing = (what) => json({ error: { code: 'NOT_FOUND', message: `there is nothing at ${what}`, help: null } }, 404);
    if (options.token && request.headers.authorization !== `Bearer ${options.token}`) {
      return json({ error: { code: 'UNAUTHORIZED', message: 'this needs a token', help: null } }, 401);
    }
    const parts = path.split('/').filter(Boolean);
    const at = Date.now();
    if (path === '/events') return sse(response, 1000, (push) => (push('jobs', list()), push('overview', overview())));
    if (path === '/jobs' && request.method === 'POST') return json({ id: main[0].id, name: main[0].name }, 201);
    if (path === '/jobs') return json(list());
    if (path === '/jobs/validate') return json(diagnose((await body(request)).text));
    if (path === '/overview') return json(overview());
    if (path === '/schema/job.json') return json(options.schema ?? {});
    if (path === '/slos') return json({ slos: main.slice(0, 2).flatMap((s) => details(s, 0).slos.map((x) => ({ job: s.id, ...x }))) });
    if (parts[0] === 'jobs') {
      const spec = find(parts[1]);
      if (!spec) return missing(path);
      if (parts[2] === 'events') return sse(response, options.everyMs ?? 500, (push) => push('job', details(spec, Math.floor(Date.now() / 500))));
      if (parts[2] === 'taps') {
        let n = 0;
        return sse(response, 300, (push) => push('rows', {
          schema: [{ name: 'auction', type: 'BIGINT' }, { name: 'window_end', type: 'TIMESTAMP(3)' }, { name: 'bids', type: 'BIGINT' }],
          rows: Array.from({ length: 6 }, () => ({ auction: 1000 + (n += 1), window_end: '2026-11-21 14:05:10.000', bids: n % 97 })), dropped: 40,
        }));
      }
      if (parts[2] === 'checkpoints' && request.method === 'POST') return json(checkpoint(spec, 112, true));
      const answer = jobRoutes(spec, parts.slice(2), query, at);
      return answer ? json(answer) : missing(path);
    }
    const logs = { logs: [{ id: 'a1', name: 'taskmanager.log', bytes: 81_234 }, { id: 'a2', name: 'taskmanager.log.1', bytes: 1_048_576 }] };
    if (parts[0] === 'jobmanager' && parts[1] === 'logs') {
      return parts[2] ? response.end('2026-11-21T14:00:00Z  INFO jobmanager::server: job manager started\n') : json({ logs: [{ id: 'j1', name: 'jobmanager.log', bytes: 900 }] });
    }
    if (parts[0] === 'taskmanagers') {
      if (!parts[1]) return json({ taskManagers: [1, 2, 3, 4].map((n) => taskManager(n, at)) });
      const n = Number(parts[1].replace(/\D/g, ''));
      if (!(n >= 1 && n <= 4)) return missing(path);
      if (parts[2] === 'logs' && parts[3]) {
        const lines = Array.from({ length: 200 }, (_, i) => `2026-11-21T14:05:${String(i % 60).padStart(2, '0')}Z ${i % 40 === 7 ? ' WARN' : ' INFO'} taskmanager::task: ${i % 40 === 7 ? 'upload is slow' : 'checkpoint acknowledged'} job=five-vertices vertex=orders subtask=${i % 4} checkpoint=${i}`);
        return response.end(`${lines.join('\n')}\n`);
      }
      if (parts[2] === 'logs') return json(logs);
      if (parts[2] === 'profile') return json(profile(Number(query.get('seconds'))));
      if (parts[2] === 'dump') {
        return json({
          threads: [{ name: 'tokio-worker-1', state: 'running', stack: FRAMES.slice(0, 5) }, { name: 'rocksdb:low', state: 'sleeping', stack: [] }],
          tasks: [0, 1, 2].map((s) => ({ job: main[0].id, vertex: main[0].plan.nodes[0].vertex, subtask: s, state: 'RUNNING', doing: s === 1 ? 'waits for credit of subtask 3' : 'processes a batch' })),
        });
      }
      return json(taskManager(n, at));
    }
    return missing(path);
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://fixture');
    if (url.pathname.startsWith('/api/v1')) return api(request, response, url.pathname.slice(7), url.searchParams);
    if (url.pathname === '/') return response.writeHead(303, { location: '/ui/' }).end();
    const name = normalize(url.pathname.replace(/^\/ui\/?/, '')).replace(/^(\.\.[/\\])+/, '');
    const bytes = await readFile(join(DIST, name)).catch(() => null);
    const page = bytes ?? (await readFile(join(DIST, 'index.html')));
    response.writeHead(200, { 'content-type': bytes ? (MIME[extname(name)] ?? 'application/octet-stream') : MIME['.html'] });
    return response.end(page);
  });
  await new Promise((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const stop = () => {
    timers.forEach(clearInterval);
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, stop, jobs: main };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fixture = await startFixture({ port: Number(process.env.PORT ?? 8099) });
  process.stdout.write(`fixture at ${fixture.url}\n`);
}
