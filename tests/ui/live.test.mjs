// The web UI against a live cluster: the flights job and a job of 30 operators, a task manager
// killed before its eyes, a straggler named, a job cancelled, one submitted with a mistake and
// with its fix, a slow operator and a silent source found. Run by scripts/ui.sh with STREAMCTL.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertAccessible, assertFits, openBrowser, picture, until } from './browser.mjs';
import { startCluster, text } from './cluster.mjs';

const JOB = 'tests/ui/jobs/auction-house.yaml';

let browser;
let cluster;
let house;
let flights;

/** The example's job file with these instead of the job manager's environment. */
async function flightsJob(values) {
  const whole = await text('examples/flights/job.yaml');
  return Object.entries(values).reduce((file, [name, value]) => {
    const changed = file.replace(new RegExp(`\\$\\{env:${name}:-[^}]*\\}`, 'g'), String(value));
    assert.notEqual(changed, file, name);
    return changed;
  }, whole);
}

/** What a newcomer does: Submit, an example of the menu, Submit. Answers the job's id. */
async function submitExample(page, example, job) {
  await page.goto(`${cluster.url}/ui/`);
  await page.getByRole('link', { name: 'Submit a job' }).first().click();
  await page.getByLabel('Start from an example').selectOption(example);
  await page.getByText('This job can run').waitFor();
  await page.getByRole('button', { name: 'Submit', exact: true }).click();
  await page.getByRole('heading', { name: job }).waitFor();
  return (await cluster.get(`/jobs/${job}`)).id;
}

before(async () => {
  cluster = await startCluster();
  try {
    browser = await openBrowser();
    house = await cluster.submit(JOB);
    // Slow enough to be there to the end, fast enough to close a day's windows every second.
    const replayed = join(cluster.folder, 'flights.yaml');
    await writeFile(replayed, await flightsJob({ WEIR_FLIGHTS_OUT: join(cluster.folder, 'replayed'), WEIR_FLIGHTS_RATE: 2000 }));
    flights = await cluster.submit(replayed);
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

test('live: the flights job as it is replayed: topology, event time, checkpoints, results', async () => {
  const page = await browser.page();
  // The name leads to the job.
  await page.goto(`${cluster.url}/ui/jobs/flights`);
  const { vertices } = await cluster.get(`/jobs/${flights}`);
  await page.waitForFunction((n) => document.querySelectorAll('.react-flow__node').length === n, vertices.length);
  await page.waitForFunction(() => [...document.querySelectorAll('.exchange-label')].some((e) => /[1-9][\d.]*k?\/s/.test(e.textContent) && /wm \d\d-\d\d/.test(e.textContent)));
  const mark = page.locator('.stats .watermark');
  const before = await mark.textContent();
  await until('event time to move', async () => (await mark.textContent()) !== before);
  await assertAccessible(page, 'flights');
  await picture(page, 'flights-topology');
  await page.getByRole('link', { name: 'Checkpoints' }).click();
  await page.getByRole('table', { name: 'Checkpoint history' }).getByText('completed').first().waitFor();
  await page.getByRole('link', { name: 'Results' }).click();
  await page.getByRole('button', { name: 'Start the tap' }).click();
  await page.getByRole('table', { name: 'Rows of the tap' }).locator('tbody tr').nth(3).waitFor();
  await assertAccessible(page, 'results');
  await picture(page, 'flights-results');
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

test('live: the streamctl line of each view does work', async () => {
  const page = await browser.page();
  const at = `/ui/jobs/${house}`;
  const worker = (await cluster.get('/taskmanagers')).taskManagers[0].id;
  const views = [
    '/ui/', at, `${at}/checkpoints`, `${at}/why`, `${at}/exceptions`, `${at}/timeline`, `${at}/configuration`,
    `${at}/source`, '/ui/taskmanagers', `/ui/taskmanagers/${worker}`, `/ui/taskmanagers/${worker}/logs`, '/ui/jobmanager', '/ui/jobmanager/logs',
  ];
  const lines = new Set();
  for (const path of views) {
    await page.goto(cluster.url + path);
    const line = page.getByLabel('The same with streamctl').last();
    await line.waitFor();
    lines.add((await line.textContent()).replace('$ ', '').trim());
  }
  assert.ok(lines.size >= 8, [...lines].join('; '));
  for (const line of lines) {
    const [tool, ...args] = line.split(' ');
    assert.equal(tool, 'streamctl', line);
    // The one that starts a job is tried elsewhere.
    if (args[0] === 'submit') continue;
    const { code, log } = await cluster.streamctl(args);
    // `why` exits with 1 when something holds the job back, which a busy machine may well do.
    assert.ok(code === 0 || (code === 1 && args[0] === 'why'), `${line}: ${code} ${log}`);
  }
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
  await page.getByRole('heading', { name: 'History' }).waitFor();
  await cluster.killTaskManager(victim);
  // Nobody reloads these pages.
  await row.waitFor({ state: 'detached' });
  // Either its silence or a broken connection to it is noticed first.
  await page.locator('.exceptions').filter({ hasText: /lost/ }).waitFor();
  await page.locator('.root-cause').waitFor();
  await picture(page, 'exceptions');
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.getByText(`Attempt ${details.attempt + 1}`, { exact: true }).waitFor();
  await page.locator('.attempts .badge.good').waitFor();
  await picture(page, 'timeline');
  await page.getByRole('link', { name: 'Topology' }).click();
  await page.locator('.stat-note', { hasText: /^[1-9]\d* restarts?$/ }).waitFor();
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
  // How much of the machine's processors all processes take: known at the second look.
  const machine = page.getByRole('list', { name: 'Machine' }).locator('li');
  await machine.filter({ hasText: /CPU, all processes\d+%/ }).waitFor();
  await machine.filter({ hasText: /Memory, all processes[\d.]+ [MGT]iB/ }).waitFor();
  await page.getByRole('table', { name: 'Tasks' }).getByText('RUNNING').first().waitFor();
  await assertAccessible(page, 'task manager');
  await picture(page, 'taskmanager');
  await page.getByRole('link', { name: 'Dump' }).click();
  await page.getByRole('button', { name: 'Take a dump' }).click();
  await page.getByRole('table', { name: 'Tasks' }).getByText('RUNNING').first().waitFor();
  await page.locator('.threads li').first().waitFor();
  await page.getByRole('link', { name: 'Logs' }).click();
  await page.getByLabel('Log', { exact: true }).filter({ hasText: /INFO .*subtask=/ }).waitFor();
  await page.getByRole('link', { name: 'Flame graph' }).click();
  await page.getByLabel('Seconds').selectOption('1');
  // A quiet second has no samples; this job's tasks are never quiet for long.
  const graph = page.getByRole('group', { name: 'Flame graph' }).getByRole('button');
  await until('samples of a task', async () => {
    await page.getByRole('button', { name: 'Take a profile' }).click();
    await page.getByText(/\d+ samples in/).waitFor();
    return (await graph.filter({ hasText: /bid/ }).count()) > 0;
  });
  await picture(page, 'flame');
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: a mistake in a job file is shown at its place, and its fix runs', async () => {
  const good = await flightsJob({ WEIR_FLIGHTS_OUT: join(cluster.folder, 'out'), WEIR_FLIGHTS_RATE: 0 });
  const bad = good.replace('connector: filesystem', 'connector: filesystme');
  const line = bad.split('\n').findIndex((l) => l.includes('filesystme')) + 1;
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/submit`);
  const editor = page.getByRole('textbox', { name: 'Job file' });
  await editor.fill(bad);
  const check = page.getByTestId('check');
  await check.getByText('filesystme').first().waitFor();
  await check.getByText(new RegExp(`^${line}:\\d+$`)).waitFor();
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

test('live: a mistake in SQL is shown at its place, and its fix runs', async () => {
  const page = await browser.page();
  await page.goto(`${cluster.url}/ui/submit`);
  await page.getByLabel('Start from an example').selectOption('Busiest auctions in SQL');
  const editor = page.getByRole('textbox', { name: 'Job file' });
  await editor.filter({ hasText: 'CREATE TABLE' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'SQL', exact: true }).getAttribute('aria-pressed'), 'true');
  await page.getByText('This job can run').waitFor();
  // By its own parts: the editor colours keywords.
  await page.locator('.cm-line span').filter({ hasText: /^INSERT$/ }).first().waitFor();
  const good = (await page.evaluate(() => sessionStorage.getItem('weir.draft'))).replace(`'20000'`, `'100'`);
  const bad = good.replace('MAX(price)', 'MAX(prize)');
  const lines = bad.split('\n');
  const line = lines.findIndex((l) => l.includes('prize'));
  await editor.fill(bad);
  const check = page.getByTestId('check');
  await check.getByText('prize').first().waitFor();
  await check.getByText(`${line + 1}:${lines[line].indexOf('prize') + 1}`, { exact: true }).waitFor();
  await page.locator('.cm-lintRange-error').filter({ hasText: 'prize' }).waitFor();
  await assertAccessible(page, 'a mistake in SQL');
  await picture(page, 'submit-sql-mistake');
  await editor.fill(good);
  await page.getByText('This job can run').waitFor();
  await page.getByText('streamctl submit job.sql').waitFor();
  await page.getByRole('button', { name: 'Submit', exact: true }).click();
  await page.getByRole('heading', { name: 'bids-by-auction' }).waitFor();
  const id = page.url().split('/').pop();
  await until('its records', async () => (await cluster.get(`/jobs/${id}`)).sources.records > 0);
  // Its statements are its file.
  await page.getByRole('link', { name: 'Job file' }).click();
  await page.locator('.cm-line').filter({ hasText: 'INSERT INTO counts' }).waitFor();
  await cluster.cancel(id);
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
  await page.getByRole('dialog').getByText('Its checkpoints stay').waitFor();
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

test('live: a newcomer finds the slow operator of a planted slow job', async () => {
  const page = await browser.page();
  const slow = await submitExample(page, 'Find the slow operator', 'slow-operator');
  // Seen by its colour and its word, and said in a sentence that names it.
  await page.locator('.vertex.busy').filter({ hasText: 'screened' }).waitFor({ state: 'attached' });
  await page.locator('.vertex.backpressured').filter({ hasText: 'bids' }).waitFor({ state: 'attached' });
  await picture(page, 'slow-topology');
  await page.getByRole('link', { name: 'Why', exact: true }).click();
  await page.locator('.why p').filter({ hasText: /^screened .*is too slow/ }).waitFor();
  await page.locator('.evidence').getByRole('link', { name: 'screened' }).first().waitFor();
  await assertAccessible(page, 'why of a slow job');
  await picture(page, 'slow-why');
  await cluster.cancel(slow);
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('live: a newcomer is told when a source falls silent', async () => {
  const page = await browser.page();
  const silent = await submitExample(page, 'A source that falls silent', 'silent-source');
  await page.locator('.badge').getByText('RUNNING').first().waitFor();
  // Nobody reloads the page.
  await page.locator('.note').getByText('has had no record for').first().waitFor();
  assert.notEqual((await cluster.get(`/jobs/${silent}`)).health.state, 'ok');
  await page.getByRole('link', { name: 'Why', exact: true }).click();
  await page.locator('.why p').filter({ hasText: /Source `?flights`? has been silent/ }).waitFor();
  await page.getByText('breached').first().waitFor();
  await assertAccessible(page, 'why of a silent job');
  await picture(page, 'silent-why');
  await page.getByRole('link', { name: 'Overview', exact: true }).first().click();
  const attention = page.locator('.attention li').filter({ hasText: 'silent-source' });
  await attention.getByText(/flights/).first().waitFor();
  await assertAccessible(page, 'overview with a silent job');
  await picture(page, 'overview-attention');
  assert.deepEqual(page.errors, []);
  await page.done();
});

if (process.env.SCREENSHOTS) {
  test('live: pictures of every view', async () => {
    const worker = (await cluster.get('/taskmanagers')).taskManagers[0].id;
    const { vertices } = await cluster.get(`/jobs/${flights}`);
    const at = `/ui/jobs/${flights}`;
    const views = {
      overview: '/ui/', topology: at, vertex: `${at}/vertices/${vertices[1].id}`, checkpoints: `${at}/checkpoints`, why: `${at}/why`,
      exceptions: `/ui/jobs/${house}/exceptions`, timeline: `/ui/jobs/${house}/timeline`, configuration: `${at}/configuration`, source: `${at}/source`,
      results: `${at}/results`, submit: '/ui/submit', taskmanagers: '/ui/taskmanagers', taskmanager: `/ui/taskmanagers/${worker}`,
      logs: `/ui/taskmanagers/${worker}/logs`, dump: `/ui/taskmanagers/${worker}/dump`, flame: `/ui/taskmanagers/${worker}/flame`, jobmanager: '/ui/jobmanager',
    };
    for (const [width, dark] of [[1440, false], [1440, true], [390, false], [390, true]]) {
      const page = await browser.page({ width, height: width < 600 ? 844 : 900, dark });
      for (const [name, path] of Object.entries(views)) {
        await page.goto(cluster.url + path);
        await page.locator('h1').first().waitFor();
        if (name === 'topology' || name === 'vertex') await page.locator('.react-flow__node').first().waitFor();
        await assertFits(page, name);
        await picture(page, `live-${name}-${width}-${dark ? 'dark' : 'light'}`, { settle: true });
      }
      await page.done();
    }
  });
}
