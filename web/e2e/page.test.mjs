// The page in a real browser, as a user meets it. Pictures of it go to the folder IMPASTO_PICTURES, if that is set.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import axe from 'axe-core';
import { launchBrowser } from './browser.mjs';
import { startServer } from './server.mjs';

const PICTURES = process.env.IMPASTO_PICTURES;
const PROMPT = 'a red apple on a blue background';
const PATIENCE_MS = 90_000;

let server, browser, page, problems;

before(async () => {
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
  server = await startServer();
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(() => openPage());

afterEach(async () => {
  await page.context().close();
  assert.deepEqual(problems, [], 'errors on the console');
});

async function openPage(options = {}) {
  await page?.context().close();
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    colorScheme: 'light',
    ...options,
  });
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Generate' }).and(page.locator(':enabled')).waitFor();
}

const prompt = () => page.getByLabel('Prompt', { exact: true });
const interrupt = () => page.getByRole('button', { name: /^Interrupt( Esc)?$/ });
const stage = () => page.getByRole('region', { name: 'Picture' });
const useSettings = () => stage().getByRole('button', { name: 'Use these settings' });

async function generate(text, steps = 8) {
  await prompt().fill(text);
  await page.getByLabel('Sampling steps', { exact: true }).fill(String(steps));
  await page.getByRole('button', { name: 'Generate' }).click();
}

/** What the element with the focus says. */
const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');

async function picture(name) {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

async function assertAccessible() {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'best-practice'] }),
  );
  assert.deepEqual(
    violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    [],
  );
}

test('the empty page teaches, and its examples work', async () => {
  await page.getByRole('heading', { name: 'Describe a picture' }).waitFor();
  await assertAccessible();
  await picture('empty');
  await page.getByRole('button', { name: PROMPT, exact: true }).click();
  await useSettings().waitFor();
  assert.equal(await prompt().inputValue(), PROMPT);
});

test('a prompt becomes a picture, step by step', async () => {
  // Enough steps that their words cannot be missed.
  await generate(PROMPT, 100);
  await stage()
    .getByText(/^Step \d+ of 100/)
    .waitFor();
  await stage().getByAltText('Not finished yet').waitFor();
  await picture('running');
  await useSettings().waitFor();
  const image = stage().getByRole('img', { name: PROMPT });
  assert.equal(
    await image.evaluate(async (node) => (await node.decode(), node.naturalWidth)),
    Number(await page.getByLabel('Width', { exact: true }).inputValue()),
  );
  await assertAccessible();
  await picture('light');
});

test('the full view is worked by keys', async () => {
  await page.getByRole('button', { name: 'Batch size: one more' }).click();
  await prompt().fill('two yellow stars on a blue background');
  await page.getByLabel('Sampling steps', { exact: true }).fill('8');
  await page.keyboard.press('Control+Enter');
  await useSettings().waitFor();
  await stage().locator('button.frame').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(/^1 of /).waitFor();
  await page.keyboard.press('ArrowRight');
  await dialog.getByText(/^2 of /).waitFor();
  await page.keyboard.press('ArrowLeft');
  await dialog.getByText(/^1 of /).waitFor();
  await assertAccessible();
  await picture('full-view');
  const download = page.waitForEvent('download');
  await dialog.getByRole('link', { name: 'Download' }).click();
  assert.match((await download).suggestedFilename(), /^impasto-\d+\.png$/);
  await dialog.getByRole('button', { name: 'Keep' }).click();
  await dialog.getByRole('button', { name: 'Kept' }).waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
});

test('settings of a picture are taken over', async () => {
  await page.getByLabel('Sampling method').selectOption('Euler a');
  await page.getByRole('button', { name: /^Landscape/ }).click();
  await page.getByLabel('Seed', { exact: true }).fill('1234');
  await generate(PROMPT, 7);
  await useSettings().waitFor();
  const size = [
    await page.getByLabel('Width', { exact: true }).inputValue(),
    await page.getByLabel('Height', { exact: true }).inputValue(),
  ];
  await page.getByRole('button', { name: 'Reset to defaults' }).click();
  await prompt().fill('something else');
  await useSettings().click();
  assert.equal(await prompt().inputValue(), PROMPT);
  assert.equal(await page.getByLabel('Sampling method').inputValue(), 'Euler a');
  assert.equal(await page.getByLabel('Sampling steps', { exact: true }).inputValue(), '7');
  assert.equal(await page.getByLabel('Seed', { exact: true }).inputValue(), '1234');
  assert.deepEqual(
    [
      await page.getByLabel('Width', { exact: true }).inputValue(),
      await page.getByLabel('Height', { exact: true }).inputValue(),
    ],
    size,
  );
});

test('a dropped picture brings its settings', async () => {
  await page.getByLabel('Seed', { exact: true }).fill('77');
  await generate(PROMPT, 6);
  await useSettings().waitFor();
  await page.reload();
  await prompt().fill('something else');
  await page.getByRole('button', { name: 'Reset to defaults' }).click();
  await stage()
    .getByRole('img', { name: PROMPT })
    .evaluate(async (image) => {
      const bytes = await (await fetch(image.src)).blob();
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], 'apple.png', { type: 'image/png' }));
      window.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }));
    });
  await page.waitForFunction(() => document.querySelector('#seed').value === '77');
  assert.equal(await prompt().inputValue(), PROMPT);
});

test('a job is interrupted, and what there is of it is kept and marked', async () => {
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  await interrupt().click();
  await useSettings().waitFor();
  await page.getByRole('button', { name: 'Generate' }).waitFor();
  const marked = /Interrupted at step \d+ of 150/;
  await stage().getByText(marked).waitFor();
  const tile = page.getByRole('region', { name: 'This session' }).getByRole('button').first();
  assert.match(await tile.innerText(), /^Interrupted\s+step \d+ of 150$/);
  await stage().locator('button.frame').click();
  await page.getByRole('dialog').getByText(marked).waitFor();
  await assertAccessible();
  await picture('interrupted');
  await page.keyboard.press('Escape');
  // Whoever comes later is told too.
  await page.reload();
  await stage().getByText(marked).waitFor();
});

test('a batch is skipped', async () => {
  await page.getByRole('button', { name: 'Batch count: one more' }).click();
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Batch 1 of 2, step \d+/)
    .waitFor();
  await page.getByRole('button', { name: 'Skip' }).click();
  await stage()
    .getByText(/^Batch 2 of 2, step \d+/)
    .waitFor();
  await interrupt().click();
  await useSettings().waitFor();
  const tiles = page.getByRole('region', { name: 'This session' }).getByRole('listitem');
  assert.equal(await tiles.count(), 2);
  assert.match(await tiles.first().innerText(), /^Interrupted/);
});

test('generating again while a job runs ends that one first', async () => {
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  await prompt().fill('a cat');
  await page.getByLabel('Sampling steps', { exact: true }).fill('8');
  await page.keyboard.press('Control+Enter');
  await stage().getByRole('img', { name: 'a cat' }).waitFor();
});

test('a job survives a reload of the page', async () => {
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  await page.reload();
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  await page.keyboard.press('Escape');
  await useSettings().waitFor();
});

test('a double click on "Generate" makes one job, and the focus stays on the button in its place', async () => {
  await prompt().fill(PROMPT);
  await page.getByLabel('Sampling steps', { exact: true }).fill('60');
  await page.getByRole('button', { name: 'Generate' }).click();
  await interrupt().waitFor();
  // A hand's second click is so late that the other button is already there.
  await page.mouse.down({ clickCount: 2 });
  await page.mouse.up({ clickCount: 2 });
  await stage()
    .getByText(/^Step \d+ of 60/)
    .waitFor();
  assert.match(await focused(), /^Interrupt/);
  await useSettings().waitFor();
  assert.equal(await stage().getByText('Interrupted').count(), 0);
  assert.match(await focused(), /^Generate/);
});

test('an interrupt that the server did not hear can be asked for again', async () => {
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  await page.route('**/interrupt', (route) => route.abort());
  await interrupt().click();
  const alert = page.getByRole('alert');
  assert.match(await alert.innerText(), /cannot be reached/);
  await page.unroute('**/interrupt');
  await interrupt().click();
  await stage().getByText('Interrupted at').waitFor();
  problems = problems.filter((text) => !text.includes('ERR_FAILED'));
});

test('a full queue is said in words', async () => {
  await page.route('**/api/v1/jobs', (route) => route.fulfill({ status: 429, json: { detail: 'full' } }));
  await generate(PROMPT);
  assert.match(await page.getByRole('alert').innerText(), /queue is full/);
  problems = problems.filter((text) => !text.includes('429'));
});

test('keys of an input method do nothing else', async () => {
  await generate(PROMPT, 150);
  await stage()
    .getByText(/^Step \d+ of 150/)
    .waitFor();
  const escape = (isComposing) =>
    prompt().dispatchEvent('keydown', { key: 'Escape', bubbles: true, isComposing });
  await escape(true);
  await interrupt().waitFor();
  await escape(false);
  await stage().getByText('Interrupted at').waitFor();
});

test('what the server refuses is said in words, at the field', async () => {
  await page.route('**/api/v1/jobs', (route) => {
    const body = route.request().postDataJSON();
    return route.continue({ postData: { ...body, steps: 0 } });
  });
  await generate(PROMPT);
  const alert = page.getByRole('alert');
  await alert.waitFor();
  assert.match(await alert.innerText(), /Sampling steps: .*0/);
  assert.equal(await page.getByLabel('Sampling steps', { exact: true }).getAttribute('aria-invalid'), 'true');
  await assertAccessible();
  await picture('error');
  // The browser itself reports every refused request.
  problems = problems.filter((text) => !text.includes('422'));
});

test('a server that is away is said so, and found again', async () => {
  await page.route('**/api/v1/info', (route) => route.abort());
  await page.reload();
  await page.getByRole('heading', { name: 'No answer from the server' }).waitFor();
  await assertAccessible();
  await page.unroute('**/api/v1/info');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('button', { name: 'Generate' }).waitFor();
  problems = problems.filter((text) => !text.includes('ERR_FAILED'));
});

test('dark is as readable as light, and can be chosen', async () => {
  await openPage({ colorScheme: 'dark' });
  await generate(PROMPT);
  await useSettings().waitFor();
  await assertAccessible();
  await picture('dark');
  await page.getByRole('button', { name: 'Switch to light' }).click();
  await page.reload();
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'light');
});

test('a model shows its own size and guidance before it was ever used', async () => {
  const [width, cfgScale] = ['Width', 'CFG Scale'].map((name) => page.getByLabel(name, { exact: true }));
  const model = page.getByLabel('Model', { exact: true });
  const own = await width.inputValue();
  await model.selectOption('tiny.safetensors');
  await page.waitForFunction(() => document.querySelector('#width').value === '64');
  assert.equal(await cfgScale.inputValue(), '3.5');
  // The next visit begins with it.
  await page.reload();
  await generate(PROMPT, 2);
  await stage()
    .getByText(/64 × 64 px/)
    .waitFor();
  assert.equal(await cfgScale.inputValue(), '3.5');
  // What was set by hand stays, whatever the model.
  await cfgScale.fill('9');
  await model.selectOption({ index: (await model.locator('option').count()) - 1 });
  await page.waitForFunction((own) => document.querySelector('#width').value === own, own);
  assert.equal(await cfgScale.inputValue(), '9');
});

test('a model that cannot be used says why, and is not chosen', async () => {
  const model = page.getByLabel('Model', { exact: true });
  const before = await model.inputValue();
  await model.selectOption('damaged.safetensors');
  const notice = page.locator('.notice');
  await notice.waitFor();
  assert.match(await notice.innerText(), /^Model damaged\.safetensors cannot be used: ./);
  assert.equal(await model.inputValue(), before);
  await assertAccessible();
  await picture('damaged');
});

test('looking for new models says what came of it', async () => {
  await page.getByRole('button', { name: 'Look for new models' }).click();
  await page.getByText('No new models found.').waitFor();
});

test('a phone has room for everything', async () => {
  await openPage({
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  });
  assert.equal(await page.getByLabel('Sampling steps', { exact: true }).isVisible(), false);
  await prompt().fill(PROMPT);
  await page.getByRole('button', { name: 'Generate' }).click();
  await useSettings().waitFor();
  await assertAccessible();
  await picture('phone');
  await page.getByRole('button', { name: /steps/ }).click();
  await page.getByLabel('Sampling steps', { exact: true }).waitFor();
  const { scroll, width } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    width: innerWidth,
  }));
  assert.equal(scroll, width, 'nothing wider than the screen');
});
