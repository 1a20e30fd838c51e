// SPDX-License-Identifier: Apache-2.0
// page_test: the page in a real Chromium, against a living system that b30_page.py has started: what a person can do,
// what axe-core says of it, what it must not do (other hosts, storage that stays), pictures of it.
//
// Environment: PAGE_GLOBE, PAGE_TOKEN (all scopes), PAGE_COUNTS_TOKEN (stats:read alone), PAGE_ADS (comma), PAGE_LIVE (an
// ad that is clicked all the time), PAGE_STRANGE (an ad whose id looks like markup), PAGE_MODULES (node_modules),
// PAGE_CHROMIUM, PAGE_SHOTS (folder for pictures, or empty).
// Last line of its output: JSON for b30_page.py.

import {mkdir} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';
import path from 'node:path';

const {PAGE_GLOBE, PAGE_TOKEN, PAGE_COUNTS_TOKEN, PAGE_ADS, PAGE_LIVE, PAGE_MODULES, PAGE_CHROMIUM, PAGE_SHOTS,
  PAGE_STRANGE} = process.env;
const require = createRequire(path.join(PAGE_MODULES, 'nothing.js'));
const {chromium} = require('playwright-core');
const axeSource = require('axe-core').source;

const started = Date.now();
const step = (words) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(7)} s  ${words}`);

// Has b30_page.py do something to the system, by a line on the output, answered by one on the input.
const answers = createInterface({input: process.stdin})[Symbol.asyncIterator]();
async function askPython(what) {
  console.log(`DO ${what}`);
  const {value} = await answers.next();
  expect(value === 'done', `${what}: ${value}`);
}

function expect(condition, words) {
  if (!condition) throw new Error(words);
}

const browser = await chromium.launch({executablePath: PAGE_CHROMIUM, headless: true, args: ['--no-sandbox', '--disable-gpu',
  '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']});

// A tab that remembers whatever it should not have said, asked for or kept.
async function tab(options = {}) {
  const context = await browser.newContext({ignoreHTTPSErrors: true, viewport: {width: 1280, height: 900}, reducedMotion: 'reduce',
    ...options});
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(`script: ${error.message}`));
  page.on('console', (line) => {
    // what the browser itself prints of a refusal that the page asked for is no mistake of the page
    if (line.type() === 'error' && !/status of 40[13]/.test(line.text()))
      page.complaints.push(`console: ${line.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${PAGE_GLOBE}/`)) page.complaints.push(`another host: ${request.url()}`);
    if (request.url().includes('trb_')) page.complaints.push('a token in a URL');
  });
  await page.goto(`${PAGE_GLOBE}/`);
  return page;
}

async function axe(page, where) {
  await page.evaluate(axeSource); // past the page's policy, which lets no foreign script in
  const found = await page.evaluate(() => window.axe.run(document, {resultTypes: ['violations']}));
  const grave = found.violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  for (const one of found.violations)
    step(`axe, ${where}: ${one.impact}: ${one.id}: ${one.nodes.map((node) => node.target).join(' ')}`);
  expect(grave.length === 0, `axe, ${where}: ${grave.map((one) => one.id)}`);
  return found.violations.length;
}

const text = (page, selector) => page.locator(selector).innerText();
const toNumber = (words) => Number(words.replaceAll(',', ''));
const clicksOf = async (page, ad) =>
  toNumber(await page.locator('#sums tbody tr', {hasText: ad}).locator('td').first().innerText());

async function enter(page, token) {
  await page.locator('#token').fill(token);
  await page.keyboard.press('Enter');
}

async function theDoor() {
  const page = await tab();
  await page.locator('#door').waitFor();
  expect(await page.evaluate(() => document.activeElement.id) === 'token', 'the token is not asked for first');
  await axe(page, 'door');
  await enter(page, `trb_${'0'.repeat(16)}_${'0'.repeat(64)}`);
  await page.locator('#token-error:not(:empty)').waitFor();
  expect(await page.evaluate(() => sessionStorage.length) === 0, 'a token that does not hold is kept');
  await enter(page, PAGE_COUNTS_TOKEN);
  await page.locator('#found label').first().waitFor();
  await page.locator('#verdict', {hasText: 'scope admin'}).waitFor();
  expect(await page.evaluate(() => `${localStorage.length} ${document.cookie}`) === '0 ', 'something outlives the tab');
  await page.locator('#forget').click();
  await page.locator('#door').waitFor();
  expect(await page.evaluate(() => sessionStorage.length) === 0, 'a forgotten token is kept');
  expect(page.complaints.length === 0, page.complaints.join('\n'));
  await page.context().close();
  step('the door: a wrong token is refused, one without admin sees no balance, a forgotten one is gone');
}

// Ad ids are whatever senders say: text to the page, never markup.
async function strangeNames() {
  const page = await tab();
  await page.locator('#door').waitFor();
  await enter(page, PAGE_TOKEN);
  await page.locator('#prefix').fill('<');
  await page.keyboard.press('Enter');
  await page.locator('#found label', {hasText: PAGE_STRANGE}).click();
  await page.locator('#sums tbody tr', {hasText: PAGE_STRANGE}).waitFor();
  await page.locator('#numbers summary').click();
  await page.locator('#minutes thead', {hasText: PAGE_STRANGE}).waitFor();
  expect(await page.locator('main img').count() === 0, 'an ad id became an element');
  await page.reload(); // by the address
  await page.locator('#sums tbody tr', {hasText: PAGE_STRANGE}).waitFor();
  expect(page.complaints.length === 0, page.complaints.join('\n'));
  await page.context().close();
  step('an ad id of markup is text everywhere');
}

// Reaches an element by the Tab key alone.
async function tabTo(page, selector) {
  for (let i = 0; i < 60; i++) {
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}

async function byKeyboard() {
  const page = await tab();
  await page.locator('#door').waitFor();
  await enter(page, PAGE_TOKEN);
  await page.locator('#found label').first().waitFor();
  await tabTo(page, '#prefix');
  await page.keyboard.type(PAGE_LIVE);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#found label').length === 1);
  await tabTo(page, '#found input');
  await page.keyboard.press('Space');
  await page.locator('#sums tbody tr').waitFor();
  await tabTo(page, '[data-minutes="180"]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('[data-minutes="180"]').getAttribute('aria-pressed') === 'true');
  await tabTo(page, '#numbers summary');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#minutes tbody tr').length === 180);
  await tabTo(page, '#lines summary');
  await page.keyboard.press('Enter');
  await page.locator('#balance-table tbody tr').first().waitFor();
  expect(page.complaints.length === 0, page.complaints.join('\n'));
  await page.context().close();
  step('by keyboard alone: token, search, choice, range, tables');
}

async function chooseAll(page) {
  await page.locator('#door').waitFor();
  await enter(page, PAGE_TOKEN);
  await page.locator('#found label').first().waitFor();
  const ads = PAGE_ADS.split(',');
  await page.locator('#prefix').fill(ads[0].split('-')[0]);
  await page.keyboard.press('Enter');
  await page.waitForFunction((n) => document.querySelectorAll('#found label').length === n, ads.length);
  for (const ad of ads) await page.locator('#found label', {hasText: ad}).first().click();
  await page.waitForFunction((n) => document.querySelectorAll('#sums tbody tr').length === n, PAGE_ADS.split(',').length);
  await page.locator('#verdict .lamp[data-state=good]').waitFor();
  await page.locator('#clicks-graph canvas').waitFor();
}

async function live() {
  const page = await tab();
  await chooseAll(page);
  expect(await page.locator('#region-list li').count() >= 1, 'no region is shown');
  expect((await text(page, '#verdict')).startsWith('0 unexplained'), await text(page, '#verdict'));
  const first = await clicksOf(page, PAGE_LIVE);
  let last = first, seen = 0;
  const deadline = Date.now() + 20000;
  while (seen < 3) { // three times more, without a reload
    expect(Date.now() < deadline, `the count stands still at ${last}`);
    await page.waitForFunction(([ad, was]) => {
      const row = [...document.querySelectorAll('#sums tbody tr')].find((one) => one.textContent.includes(ad));
      return row && Number(row.querySelector('td').textContent.replaceAll(',', '')) !== was;
    }, [PAGE_LIVE, last], {timeout: 20000});
    const now = await clicksOf(page, PAGE_LIVE);
    expect(now > last, `the count fell from ${last} to ${now}`);
    last = now;
    seen++;
  }
  const mode = await text(page, '#state-words');
  expect(page.complaints.length === 0, page.complaints.join('\n'));
  await askPython('KILL');
  await page.locator('#state .lamp[data-state=bad]').waitFor();
  await askPython('START');
  await page.locator('#state-words', {hasText: 'Live'}).waitFor();
  expect(await clicksOf(page, PAGE_LIVE) >= last, 'a count fell when the globe came back');
  page.complaints = []; // the browser told of the connection that was refused
  const sums = {};
  for (const ad of PAGE_ADS.split(',')) sums[ad] = await clicksOf(page, ad);
  await page.reload();
  await page.waitForFunction((n) => document.querySelectorAll('#sums tbody tr').length === n, PAGE_ADS.split(',').length);
  await page.context().close();
  step(`live ("${mode}"): ${first} grew to ${last}; goes on by itself after a kill -9; a reload shows the same ads`);
  return {mode, sums};
}

async function looks() {
  let remarks = 0;
  for (const [name, width, height] of [['phone', 360, 740], ['tablet', 768, 1024], ['desktop', 1280, 860], ['wide', 2200, 1200]])
    for (const colorScheme of ['light', 'dark']) {
      const isShort = ['phone light', 'phone dark', 'wide dark'].includes(`${name} ${colorScheme}`);
      if (!PAGE_SHOTS && !isShort) continue; // the short form
      const page = await tab({viewport: {width, height}, colorScheme, deviceScaleFactor: 1});
      await chooseAll(page);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(over <= 0, `${name}: ${over} pixels wider than the screen`);
      const small = await page.evaluate(() => [...document.querySelectorAll('button, input')].filter((one) =>
        one.offsetParent !== null && (one.type === 'checkbox' ? one.parentElement : one).getBoundingClientRect().height < 39).length);
      expect(small === 0, `${name}: ${small} targets are too small for a finger`);
      remarks += await axe(page, `${name}, ${colorScheme}`);
      if (PAGE_SHOTS && ['phone', 'desktop'].includes(name)) {
        await mkdir(PAGE_SHOTS, {recursive: true});
        await page.locator('[data-minutes="30"]').click();
        await page.waitForTimeout(500); // the graphs follow in their own frame
        await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
        await page.screenshot({path: path.join(PAGE_SHOTS, `page-${name}-${colorScheme}.png`), fullPage: true});
      }
      expect(page.complaints.length === 0, page.complaints.join('\n'));
      await page.context().close();
    }
  step(`${PAGE_SHOTS ? 'four' : 'two'} widths, light and dark: nothing sticks out, axe finds nothing serious (${remarks} remarks in all)`);
}

async function withoutCharts() {
  const context = await browser.newContext({ignoreHTTPSErrors: true});
  const page = await context.newPage();
  await page.route('**/page/charts.js', (route) => route.fulfill({status: 200, contentType: 'text/javascript', body: ''}));
  await page.goto(`${PAGE_GLOBE}/#ad=${encodeURIComponent(PAGE_LIVE)}`);
  await page.locator('#door').waitFor();
  await enter(page, PAGE_TOKEN);
  await page.locator('#no-charts').waitFor();
  await page.locator('#sums tbody tr').waitFor();
  await axe(page, 'without charts');
  await context.close();
  step('without charts: a sentence, and the tables');
}

let code = 0;
try {
  await theDoor();
  await byKeyboard();
  await strangeNames();
  const found = await live();
  await looks();
  await withoutCharts();
  console.log(JSON.stringify(found));
} catch (error) {
  step(`FAILED: ${error.message}`);
  code = 1;
}
await browser.close();
process.exit(code);
