// The web UI against the fixture (made-up answers of the API): what no small cluster has, such as
// 500 vertices, 200 jobs, 2,000 subtasks and a token; and every view by axe, wide and narrow, light
// and dark. Run by scripts/ui.sh.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFixture } from '../../webui/dev/fixture.mjs';
import { assertAccessible, assertFits, barriers, openBrowser, picture } from './browser.mjs';

const SCHEMA = {
  type: 'object',
  required: ['apiVersion', 'kind', 'spec'],
  properties: {
    apiVersion: { const: 'weir.dev/v1' },
    kind: { const: 'StreamJob' },
    metadata: { type: 'object', properties: { name: { type: 'string' } } },
    spec: {
      type: 'object',
      properties: {
        parallelism: { type: 'integer', default: 1, description: 'Subtasks per operator' },
        state: { type: 'object', properties: { backend: { enum: ['heap', 'rocksdb'], default: 'heap' } } },
        sources: { type: 'object', additionalProperties: { $ref: '#/$defs/source' } },
      },
    },
  },
  $defs: {
    source: {
      oneOf: [
        { type: 'object', properties: { connector: { const: 'nexmark' }, table: { enum: ['bid', 'auction'] } } },
        { type: 'object', properties: { connector: { const: 'filesystem' }, path: { type: 'string' } } },
      ],
    },
  },
};

let browser;
let fixture;
const report = (line) => process.stdout.write(`${line}\n`);

before(async () => {
  fixture = await startFixture({ schema: SCHEMA });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await fixture?.stop();
});

const vertexOf = (job, n) => `/ui/jobs/${job.id}/vertices/${job.plan.nodes[n].vertex}`;

function views() {
  const [job] = fixture.jobs;
  const at = `/ui/jobs/${job.id}`;
  return {
    overview: ['/ui/', 'h1'],
    topology: [at, '.react-flow__node'],
    vertex: [vertexOf(job, 3), '.drawer'],
    'vertex-skew': [`${vertexOf(job, 3)}?show=skew`, '.drawer table'],
    'vertex-watermarks': [`${vertexOf(job, 0)}?show=watermarks`, '.drawer table'],
    'vertex-charts': [`${vertexOf(job, 3)}?show=charts`, '.drawer canvas'],
    'vertex-state': [`${vertexOf(job, 3)}?show=state`, '.drawer .facts'],
    checkpoints: [`${at}/checkpoints`, 'text=Latest completed'],
    checkpoint: [`${at}/checkpoints/112`, '.gantt'],
    why: [`${at}/why`, '.why'],
    results: [`${at}/results`, 'text=Live tap'],
    exceptions: [`${at}/exceptions`, '.root-cause'],
    timeline: [`${at}/timeline`, '.attempts'],
    configuration: [`${at}/configuration`, '.facts'],
    'job-file': [`${at}/source?line=11`, '.cm-line'],
    submit: ['/ui/submit', '.cm-line'],
    taskmanagers: ['/ui/taskmanagers', 'table'],
    taskmanager: ['/ui/taskmanagers/tm-1', '.consumers'],
    logs: ['/ui/taskmanagers/tm-1/logs', 'pre'],
    flame: ['/ui/taskmanagers/tm-1/flame', 'text=Take a profile'],
    dump: ['/ui/taskmanagers/tm-1/dump', 'text=Take a dump'],
    jobmanager: ['/ui/jobmanager', '.facts'],
    nothing: ['/ui/no-such-view', 'text=Nothing here'],
  };
}

for (const [width, dark] of [[1440, false], [1440, true], [390, false], [390, true]]) {
  test(`fixture: every view is accessible and fits at ${width} px, ${dark ? 'dark' : 'light'}`, async () => {
    const page = await browser.page({ width, height: width < 600 ? 844 : 900, dark });
    const grave = [];
    for (const [name, [path, sign]] of Object.entries(views())) {
      await page.goto(fixture.url + path);
      await page.locator(sign).first().waitFor();
      await assertFits(page, name);
      // Dark differs from light by its colours only.
      for (const found of await barriers(page, dark ? ['color-contrast'] : null)) grave.push(`${name}: ${found}`);
      await picture(page, `fixture-${name}-${width}-${dark ? 'dark' : 'light'}`);
    }
    assert.deepEqual(grave, []);
    assert.deepEqual(page.errors, []);
    const elsewhere = page.asked.filter((url) => !url.startsWith(fixture.url) && !url.startsWith('data:') && !url.startsWith('blob:'));
    assert.deepEqual(elsewhere, [], 'the UI asks nobody else: it works offline');
    await page.done();
  });
}

for (const [n, index] of [[5, 0], [50, 1], [500, 2]]) {
  test(`fixture: the topology of ${n} vertices`, async () => {
    const page = await browser.page();
    // The code is there, as for a user who looks at a second job.
    await page.goto(`${fixture.url}/ui/jobs/${fixture.jobs[0].id}`);
    await page.locator('.react-flow__node').first().waitFor();
    await page.goto(`${fixture.url}/ui/taskmanagers`);
    await page.locator('table').waitFor();
    const began = Date.now();
    await page.goto(`${fixture.url}/ui/jobs/${fixture.jobs[index].id}`);
    await page.waitForFunction((count) => document.querySelectorAll('.react-flow__node').length >= count, n);
    const drawn = Date.now() - began;
    await page.getByRole('searchbox', { name: 'Find a vertex or operator' }).fill(fixture.jobs[index].plan.nodes[n - 2].operators[0].name);
    await page.getByText('found').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.drawer h2').waitFor();
    report(`topology of ${n} vertices: drawn after ${drawn} ms, vertex found and open after ${Date.now() - began} ms`);
    await picture(page, `fixture-topology-${n}`);
    // What it costs to draw and to keep: so many elements a vertex, not more.
    const elements = await page.evaluate(() => document.querySelectorAll('[data-testid=topology] *').length);
    assert.ok(elements < 40 * n + 400, `${elements} elements for ${n} vertices`);
    assert.deepEqual(page.errors, []);
    await page.done();
  });
}

test('fixture: 200 jobs are listed, failing ones first, and found by name', async () => {
  const page = await browser.page();
  await page.goto(`${fixture.url}/ui/`);
  const table = page.getByRole('table', { name: 'Jobs' });
  await table.waitFor();
  assert.equal(await table.getAttribute('aria-rowcount'), '201');
  assert.ok((await table.locator('tbody tr').count()) < 80, 'only the rows in view are in the document');
  const first = await table.locator('tbody tr').first().textContent();
  assert.match(first, /FAILED/);
  await page.getByRole('searchbox', { name: 'Find a job' }).fill('five-v');
  await table.getByRole('link', { name: 'five-vertices' }).waitFor();
  assert.equal(await table.locator('tbody tr').count(), 1);
  await page.done();
});

test('fixture: a job of 2,000 subtasks stays smooth', async () => {
  const job = fixture.jobs[3];
  const page = await browser.page();
  await page.goto(fixture.url + vertexOf(job, 12));
  const table = page.getByRole('table', { name: 'Subtasks' });
  await table.waitFor();
  assert.equal(await table.getAttribute('aria-rowcount'), '101');
  // How long the page was busy at a time while events come twice a second, and how much of the
  // document they changed.
  const { longest, changes } = await page.evaluate(
    () =>
      new Promise((resolve) => {
        let changes = 0;
        const watch = new MutationObserver((records) => (changes += records.length));
        watch.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
        let most = 0;
        let last = performance.now();
        const end = last + 4000;
        const step = (now) => {
          most = Math.max(most, now - last);
          last = now;
          if (now < end) requestAnimationFrame(step);
          else resolve({ longest: Math.round(most), changes });
        };
        requestAnimationFrame(step);
      }),
  );
  report(`2,000 subtasks: longest frame ${longest} ms, ${changes} changes of the document in 4 s of two events a second`);
  // 20 vertices and the 100 subtasks of one, not all 2,000.
  assert.ok(changes > 0 && changes < 10_000, `${changes} changes`);
  await page.goto(`${fixture.url}/ui/jobs/${job.id}/checkpoints/112`);
  await page.locator('.gantt-rows li').first().waitFor();
  assert.ok((await page.locator('.gantt-rows li').count()) < 120, 'the chart draws what is in view');
  await page.getByTestId('straggler').waitFor();
  assert.deepEqual(page.errors, []);
  await page.done();
});

test('fixture: the whole job by keyboard', async () => {
  const page = await browser.page();
  await page.goto(`${fixture.url}/ui/jobs/${fixture.jobs[0].id}`);
  await page.locator('.react-flow__node').first().waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.locator('.react-flow__node').first().focus();
  await page.keyboard.press('Enter');
  await page.locator('.drawer h2').waitFor();
  assert.match(page.url(), /\/vertices\//);
  await page.keyboard.press('Escape');
  await page.locator('.drawer').waitFor({ state: 'detached' });
  await page.goBack();
  await page.locator('.drawer').waitFor();
  await page.done();
});

test('fixture: the editor completes from the schema and shows a mistake at its place', async () => {
  const page = await browser.page();
  await page.goto(`${fixture.url}/ui/submit`);
  const editor = page.getByRole('textbox', { name: 'Job file' });
  await editor.fill('apiVersion: weir.dev/v1\nkind: StreamJob\nspec:\n  state:\n    backend: ');
  await editor.press('Control+End');
  await editor.press('Control+Space');
  await page.locator('.cm-tooltip-autocomplete').getByText('rocksdb').waitFor();
  await page.keyboard.press('Escape');
  await editor.fill('spec:\n  sources:\n    bids:\n      connector: nexmark\n      ta');
  await editor.press('Control+End');
  await editor.press('Control+Space');
  const options = page.locator('.cm-tooltip-autocomplete li');
  await options.filter({ hasText: 'table' }).waitFor();
  assert.equal(await options.filter({ hasText: 'path' }).count(), 0, 'of another connector');
  await page.keyboard.press('Escape');
  await editor.fill('spec:\n  sources:\n    bids:\n      connektor: nexmark\n');
  await page.getByTestId('check').getByText('unknown field `connektor`').waitFor();
  await page.getByText('4:7').waitFor();
  await page.getByText('did you mean `connector`?').first().waitFor();
  await editor.fill('spec:\n  sources:\n    bids:\n      connector: nexmark\n');
  await page.getByText('This job can run').waitFor();
  await page.done();
});

test('fixture: the token is asked for once and kept for the session', async () => {
  const guarded = await startFixture({ token: 'open sesame', jobs: 3 });
  try {
    const page = await browser.page();
    await page.goto(`${guarded.url}/ui/`);
    await page.locator('input[type=password]').fill('open sesame');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('table', { name: 'Jobs' }).waitFor();
    await page.goto(`${guarded.url}/ui/jobs/${guarded.jobs[0].id}`);
    await page.locator('.react-flow__node').first().waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    assert.equal(await page.evaluate(() => Object.keys(localStorage).some((k) => k.includes('token'))), false);
    await page.done();
  } finally {
    await guarded.stop();
  }
});

test('fixture: a lost connection is said, and found again', async () => {
  const page = await browser.page();
  await page.goto(`${fixture.url}/ui/jobs/${fixture.jobs[0].id}`);
  await page.locator('.link-state.live').waitFor();
  await page.context().setOffline(true);
  await page.route('**/api/v1/**', (route) => route.abort());
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  // Streams that are open stay open when a browser goes offline: leave and come back.
  await page.getByRole('link', { name: 'Overview', exact: true }).first().click();
  await page.getByRole('link', { name: 'Task managers', exact: true }).click();
  await page.getByText('Connection lost, retrying').waitFor();
  await page.unroute('**/api/v1/**');
  await page.context().setOffline(false);
  await page.getByRole('table', { name: 'Task managers' }).waitFor();
  await page.done();
});

test('fixture: tap, profile and dump', async () => {
  const page = await browser.page();
  await page.goto(`${fixture.url}/ui/jobs/${fixture.jobs[0].id}/results`);
  await page.getByRole('button', { name: 'Start the tap' }).click();
  await page.getByRole('table', { name: 'Rows of the tap' }).locator('tbody tr').nth(10).waitFor();
  await page.getByText('left out').waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('ended').first().waitFor();
  await page.goto(`${fixture.url}/ui/taskmanagers/tm-1/flame`);
  await page.getByRole('button', { name: 'Take a profile' }).click();
  await page.getByRole('group', { name: 'Flame graph' }).getByRole('button').nth(5).waitFor();
  await assertAccessible(page, 'flame graph');
  await picture(page, 'fixture-flame-graph');
  await page.goto(`${fixture.url}/ui/taskmanagers/tm-1/dump`);
  await page.getByRole('button', { name: 'Take a dump' }).click();
  await page.getByText('waits for credit of subtask 3').waitFor();
  await page.done();
});
