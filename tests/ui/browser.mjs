// A real Chromium for the tests of the web UI, and what they ask of every page. Called by the
// `*.test.mjs` beside it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

// The packages are the UI's own development packages.
const require = createRequire(new URL('../../webui/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const AXE = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
  '--disable-dev-shm-usage',
];

/** Longest wait for something that must come: bounds a hang, also where other work keeps the processors busy. */
export const PATIENCE = 240_000;

export async function openBrowser() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  return {
    close: () => browser.close(),
    /** A fresh profile. `errors` gathers what the page complains of. */
    async page(options = {}) {
      const { width = 1440, height = 900, dark = false, ...rest } = options;
      const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', ...rest });
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE);
      const errors = [];
      const asked = [];
      page.on('pageerror', (error) => errors.push(error.message));
      page.on('request', (request) => asked.push(request.url()));
      return Object.assign(page, { errors, asked, done: () => context.close() });
    },
  };
}

/** What axe finds serious or critical in the page as it is now; of `rules` only when they are given. */
export async function barriers(page, rules = null) {
  // Past the page's content security policy, which rightly refuses a script of ours.
  const session = await page.context().newCDPSession(page);
  const { exceptionDetails } = await session.send('Runtime.evaluate', { expression: AXE });
  assert.equal(exceptionDetails, undefined);
  await session.detach();
  const result = await page.evaluate(
    (only) => globalThis.axe.run(document, { resultTypes: ['violations'], ...(only ? { runOnly: { type: 'rule', values: only } } : {}) }),
    rules,
  );
  const grave = result.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  return grave.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.any[0]?.message ?? ''}`).join(' | ')}`);
}

export async function assertAccessible(page, what) {
  assert.deepEqual(await barriers(page), [], what);
}

/** The page is no wider than the screen. */
export async function assertFits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${what} is ${over} px too wide`);
}

/** Keeps a picture when SCREENSHOTS names a folder. `settle`: when figures had time to come. */
export async function picture(page, name, { settle = false, ...options } = {}) {
  if (!process.env.SCREENSHOTS) return;
  if (settle) await page.waitForTimeout(2500);
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), ...options });
}

/** Waits until `look` answers something true. */
export async function until(what, look) {
  const end = Date.now() + PATIENCE;
  let last;
  while (Date.now() < end) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
}
