// The web UI against a live cluster: the flights job and a job of 30 operators, a task manager
// killed before its eyes, a straggler named, a job cancelled, one submitted with a mistake and
// with its fix. Run by scripts/ui.sh with STREAMCTL.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertAccessible, assertFits, openBrowser, picture, until } from './browser.mjs';
import { startCluster, text } from './cluster.mjs';

const JOB = 'tests/ui/jobs/auction-house.yaml';

/** True for every row, after needless work. */
const SLOW_PREDICATE = `${Array.from({ length: 12 }, (_, i) => `length(regexp_replace(repeat(CAST(price + ${i} AS STRING), 40), '[0-4]+', 'x')) > 0`).join(' AND ')}`;

let browser;
let cluster;
let house;

before(async () => {
  cluster = await startCluster();
  try {
    browser = await openBrowser();
    house = await cluster.submit(JOB);
    await until('checkpoints', async () => (await cluster.get(`/jobs/${house}`)).checkpoints.completed >= 2);
  } catch (error) {
    await browser?.close();
    await cluster.stop();
    throw error;
  }
});
after(async () => {
  await browser?.close();
  await cluster?.stop();
});

test('live: an address without a view leads to the UI', async () => {
  const page = await browser.page();
  await page.goto(cluster.url);
  assert.equal(new URL(page.url()).pathname, '/ui/');
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.getByRole('table', { name: 'Jobs' }).getByRole('link', { name: 'auction-house' }).waitFor();
  await page.getByText('Live', { exact: false }).first().waitFor();
  await assertAccessible(page, 'overview');
  await picture(page, 'overview');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: the topology of 30 operators, with rates and watermarks', async () => {
  const { vertices } = await cluster.get(`/jobs/${house}`);
  const operators = vertices.reduce((n, v) => n + v.operators.length, 0);
  assert.ok(operators >= 30, `${operators} operators`);
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}`);
  await page.waitForFunction((n) => document.querySelectorAll('.react-flow__node').length === n, vertices.length);
  await page.locator('.exchange-label').filter({ hasText: 'hash: auction' }).first().waitFor({ state: 'attached' });
  // Figures arrive as they change: a rate other than nothing on an edge, and a watermark.
  await page.waitForFunction(() => [...document.querySelectorAll('.exchange-label')].some((e) => /[1-9][\d.]*k?\/s/.test(e.textContent) && /wm \d/.test(e.textContent)));
  await picture(page, 'topology');
  await page.getByRole('searchbox', { name: 'Find a vertex or operator' }).fill('hot_auctions');
  await page.keyboard.press('Enter');
  const drawer = page.locator('.drawer');
  await drawer.getByRole('heading', { name: /hot_auctions/ }).waitFor();
  await drawer.getByRole('table', { name: 'Subtasks' }).getByText('RUNNING').first().waitFor();
  await picture(page, 'vertex');
  await drawer.getByRole('button', { name: 'Watermarks' }).click();
  await drawer.getByRole('table', { name: 'Watermarks by subtask' }).waitFor();
  await drawer.getByRole('button', { name: 'Charts' }).click();
  await drawer.locator('canvas').first().waitFor();
  await assertAccessible(page, 'vertex');
  await drawer.getByRole('link', { name: 'hot_auctions' }).click();
  await page.locator('.cm-marked').waitFor();
  assert.match(await page.locator('.cm-marked').textContent(), /hot_auctions/);
  await picture(page, 'job-file');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: checkpoints, their history, and the straggler of one', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}/checkpoints`);
  const history = page.getByRole('table', { name: 'Checkpoint history' });
  await history.getByText('completed').first().waitFor();
  const newest = async () => Number((await history.locator('tbody tr a').first().textContent()).replace('chk-', ''));
  const before = await newest();
  await until('a newer checkpoint to appear by itself', async () => (await newest()) > before);
  await page.getByRole('table', { name: 'Summary of checkpoints' }).getByRole('row', { name: /End to end/ }).waitFor();
  await assertAccessible(page, 'checkpoints');
  await picture(page, 'checkpoints');
  const link = history.getByRole('row').filter({ hasText: 'completed' }).getByRole('link').first();
  const name = await link.textContent();
  await link.click();
  await page.getByRole('heading', { name: `Checkpoint ${name.replace('chk-', '')}` }).waitFor();
  const said = await page.getByTestId('straggler').textContent();
  const { vertices } = await cluster.get(`/jobs/${house}`);
  assert.match(said, /subtask \d+ of .+ acknowledged last/);
  assert.ok(vertices.some((v) => said.includes(v.name)), said);
  await page.locator('.gantt-rows li.late').waitFor({ state: 'attached' });
  await assertAccessible(page, 'checkpoint');
  await picture(page, 'checkpoint');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: a checkpoint is triggered by its button', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}`);
  await page.getByRole('button', { name: 'Trigger checkpoint' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('streamctl checkpoint trigger auction-house').waitFor();
  await dialog.getByRole('button', { name: 'Trigger checkpoint' }).click();
  await dialog.getByText(/Checkpoint \d+ is complete/).waitFor();
  await dialog.getByRole('button', { name: 'Show it' }).click();
  await page.getByText('manual').first().waitFor();
  await page.done();
});

test('live: a killed task manager is seen, and the job runs again', async () => {
  // A third one takes over what the killed one did.
  await cluster.addTaskManager();
  const details = await cluster.get(`/jobs/${house}`);
  const victim = details.vertices.flatMap((v) => v.subtasks).find((s) => s.taskManager).taskManager;
  const overview = await browser.page();
  await overview.goto(`${cluster.url}/ui/taskmanagers`);
  const row = overview.getByRole('table', { name: 'Task managers' }).getByRole('link', { name: victim });
  await row.waitFor();
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}/exceptions`);
  await page.getByText('Nothing has failed').waitFor();
  await cluster.killTaskManager(victim);
  // Nobody reloads these pages.
  await row.waitFor({ state: 'detached' });
  await page.locator('.root-cause').waitFor();
  // Either its silence or a broken connection to it is noticed first.
  assert.match(await page.locator('.exceptions').textContent(), /lost/);
  await picture(page, 'exceptions');
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.getByText('Attempt 2', { exact: true }).waitFor();
  await page.locator('.attempts .badge.good').waitFor();
  await picture(page, 'timeline');
  await page.getByRole('link', { name: 'Topology' }).click();
  await page.getByText('1 restart', { exact: true }).waitFor();
  await page.locator('.panel').getByText(/\d running/).first().waitFor();
  await until('the job to run again', async () => (await cluster.get(`/jobs/${house}`)).status === 'RUNNING');
  assert.deepEqual(page.errors, []);
  await overview.done();
  await page.done();
});

test('live: why says something plain', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}/why`);
  const sentence = await page.locator('.why p').textContent();
  assert.match(sentence, /\S.*[.!]$/);
  const { sentence: told } = await cluster.get(`/jobs/${house}/why`);
  assert.ok(told.length > 10);
  await page.getByText('streamctl why auction-house').waitFor();
  await assertAccessible(page, 'why');
  await picture(page, 'why');
  await page.done();
});

test('live: a task manager, its tasks and its dump', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/taskmanagers`);
  await page.getByRole('table', { name: 'Task managers' }).getByRole('link').first().click();
  await page.getByText('Memory by consumer').waitFor();
  await assertAccessible(page, 'task manager');
  await picture(page, 'taskmanager');
  await page.getByRole('link', { name: 'Dump' }).click();
  await page.getByRole('button', { name: 'Take a dump' }).click();
  await page.getByRole('table', { name: 'Tasks' }).getByText('RUNNING').first().waitFor();
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: a mistake in a job file is shown at its place, and its fix runs', async () => {
  const good = (await text('examples/flights/job.yaml')).replaceAll('${env:WEIR_FLIGHTS_OUT:-flights-out}', join(cluster.folder, 'out'));
  const bad = good.replace('connector: filesystem', 'connector: filesystme');
  const line = bad.split('\n').findIndex((l) => l.includes('filesystme')) + 1;
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/submit`);
  const editor = page.getByRole('textbox', { name: 'Job file' });
  await editor.fill(bad);
  const check = page.getByTestId('check');
  await check.getByText('filesystme').first().waitFor();
  assert.match(await check.textContent(), new RegExp(`\\b${line}:\\d+`));
  await picture(page, 'submit-mistake');
  await editor.fill(good);
  await page.getByText('This job can run').waitFor();
  await page.getByRole('button', { name: 'Submit', exact: true }).click();
  await page.getByRole('heading', { name: 'flights' }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll('.react-flow__node').length > 5);
  await page.getByText('FINISHED', { exact: true }).first().waitFor();
  await picture(page, 'flights');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: rows are seen as they flow', async () => {
  const page = await browser.page();
  const { plan } = await cluster.get(`/jobs/${house}`);
  const { vertex } = plan.nodes.find((n) => n.operators.some((o) => o.name === 'bids'));
  await page.goto(`${cluster.url}/ui/jobs/${house}/results?vertex=${vertex}`);
  await page.getByRole('button', { name: 'Start the tap' }).click();
  await page.getByRole('table', { name: 'Rows of the tap' }).locator('tbody tr').first().waitFor();
  await picture(page, 'results');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: cancel, and submit again from the last checkpoint', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${house}`);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('dialog').getByText('streamctl cancel auction-house').waitFor();
  await page.getByRole('button', { name: 'Cancel the job' }).click();
  await page.getByText('CANCELED', { exact: true }).first().waitFor();
  await page.getByRole('button', { name: 'Resubmit' }).click();
  await page.getByRole('button', { name: 'From the last checkpoint' }).click();
  await page.getByLabel('Start from a checkpoint').waitFor();
  assert.match(await page.getByLabel('Start from a checkpoint').inputValue(), /chk-\d+$/);
  await page.getByRole('button', { name: 'Submit', exact: true }).click();
  await page.getByRole('heading', { name: 'auction-house' }).waitFor();
  await until('a second job', async () => (await cluster.get('/jobs')).jobs.filter((j) => j.name === 'auction-house').length === 2);
  await until('it to run', async () => (await cluster.get('/jobs')).jobs.some((j) => j.name === 'auction-house' && j.status === 'RUNNING'));
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: the slow operator of a planted slow job is named', async () => {
  const slow = await cluster.submit(JOB, { RATE: '200000', SLOW: SLOW_PREDICATE });
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/jobs/${slow}`);
  await page.locator('.vertex.busy').filter({ hasText: 'dear' }).waitFor({ state: 'attached' });
  await page.getByRole('link', { name: 'Why' , exact: true }).first().click();
  await page.locator('.why').filter({ hasText: 'dear' }).waitFor();
  await picture(page, 'slow-why');
  for (const [width, dark] of [[1440, false], [1440, true], [390, false], [390, true]]) {
    const other = await browser.page({ width, height: width < 600 ? 844 : 900, dark });
    await other.goto(`${cluster.url}/ui/jobs/${slow}`);
    await other.locator('.react-flow__node').first().waitFor();
    await assertFits(other, `topology at ${width}`);
    await picture(other, `topology-${width}-${dark ? 'dark' : 'light'}`);
    await other.done();
  }
  await page.done();
});
