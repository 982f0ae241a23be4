// A real cluster for the tests of the web UI: job manager and task managers as processes, on free
// ports of the loopback. Called by `live.test.mjs`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './browser.mjs';

const STREAMCTL = process.env.STREAMCTL;
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Processes outlive neither a test that is interrupted nor one that fails. */
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Starts a process and answers what it prints as `name value` lines, when all `wanted` are there. */
async function start(args, wanted) {
  const child = spawn(STREAMCTL, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: ROOT });
  running.add(child);
  child.on('exit', () => running.delete(child));
  let out = '';
  let log = '';
  child.stdout.on('data', (piece) => (out += piece));
  child.stderr.on('data', (piece) => (log = (log + piece).slice(-20_000)));
  const said = (name) => new RegExp(`^${name} (\\S+)$`, 'm').exec(out)?.[1];
  const ended = new Promise((_, fail) => {
    child.on('error', fail);
    child.on('exit', () => fail(new Error(`streamctl ${args[0]} ended: ${log}`)));
  });
  ended.catch(() => {});
  try {
    await Promise.race([until(`streamctl ${args[0]} to start`, () => wanted.every(said)), ended]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return { child, said, log: () => log };
}

async function stop(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

export async function startCluster({ taskManagers = 2, slots = 4 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'weir-ui-'));
  const manager = await start(
    [
      'jobmanager', '--http-addr', '127.0.0.1:0', '--rpc-addr', '127.0.0.1:0', '--storage', join(folder, 'checkpoints'),
      // A browser beside it may leave a task manager without a processor for a while.
      '--heartbeat-timeout', '5s',
    ],
    ['http-addr', 'rpc-addr'],
  );
  const url = `http://${manager.said('http-addr')}`;
  const workers = [];
  const cluster = {
    url,
    folder,
    async get(path) {
      const answer = await fetch(`${url}/api/v1${path}`);
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    /** Starts one more and answers its id. */
    async addTaskManager() {
      const before = new Set((await cluster.get('/taskmanagers')).taskManagers.map((t) => t.id));
      const state = join(folder, `state-${workers.length}`);
      const worker = await start(['taskmanager', '--jobmanager', manager.said('rpc-addr'), '--slots', String(slots), '--state-dir', state], []);
      const id = await until('a task manager to register', async () => {
        if (worker.child.exitCode !== null) throw new Error(worker.log());
        return (await cluster.get('/taskmanagers')).taskManagers.map((t) => t.id).find((t) => !before.has(t));
      });
      workers.push({ id, child: worker.child });
      return id;
    },
    /** SIGKILL: no goodbye. */
    async killTaskManager(id) {
      const worker = workers.find((w) => w.id === id);
      await stop(worker.child, 'SIGKILL');
    },
    /** Runs streamctl to its end. */
    async streamctl(args) {
      const child = spawn(STREAMCTL, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: ROOT });
      let out = '';
      let log = '';
      child.stdout.on('data', (piece) => (out += piece));
      child.stderr.on('data', (piece) => (log += piece));
      const [code] = await once(child, 'close');
      return { code, out, log };
    },
    /** Submits a job file by the command line, as its users do. Answers the job's id. */
    async submit(file) {
      const { code, out, log } = await cluster.streamctl(['submit', file, '--server', url, '-o', 'json']);
      if (code !== 0) throw new Error(log);
      return JSON.parse(out).id;
    },
    async cancel(job) {
      await fetch(`${url}/api/v1/jobs/${job}/cancel`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
      await until(`${job} to end`, async () => (await cluster.get(`/jobs/${job}`)).status === 'CANCELED');
    },
    async stop() {
      for (const worker of workers) await stop(worker.child, 'SIGKILL');
      await stop(manager.child, 'SIGKILL');
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    for (let i = 0; i < taskManagers; i += 1) await cluster.addTaskManager();
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

export const text = (file) => readFile(join(ROOT, file), 'utf8');
