// Makes the pictures of the page in docs/pictures: `npm run pictures`, with IMPASTO_BIN or IMPASTO_URL as for the tests.
// Prompts and seeds are what stands here, so that whoever runs it sees the same.
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { launchBrowser } from './browser.mjs';
import { startServer } from './server.mjs';

const FOLDER = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));
const SEED = 1;
const PROMPTS = [
  'a cat',
  'a yellow star on a purple background',
  'a green car',
  'a mushroom',
  'a blue heart',
  'a rocket on a black background',
  'a purple octopus',
  'a red apple on a blue background',
];
const VIEWS = {
  'page-light': { viewport: { width: 1440, height: 900 }, colorScheme: 'light' },
  'page-dark': { viewport: { width: 1440, height: 900 }, colorScheme: 'dark' },
  'page-phone': {
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  },
};

async function generate(page, prompt) {
  await page.getByLabel('Prompt', { exact: true }).fill(prompt);
  await page.keyboard.press('Control+Enter');
  await page.getByRole('region', { name: 'Picture' }).getByRole('img', { name: prompt }).waitFor();
}

const server = await startServer();
const browser = await launchBrowser();
try {
  for (const [name, options] of Object.entries(VIEWS)) {
    const page = await browser.newPage(options);
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Generate' }).and(page.locator(':enabled')).waitFor();
    const phone = options.isMobile ?? false;
    if (phone) await page.getByRole('button', { name: /steps/ }).click();
    await page.getByLabel('Seed', { exact: true }).fill(String(SEED));
    if (phone) await page.getByRole('button', { name: /steps/ }).click();
    for (const prompt of PROMPTS) await generate(page, prompt);
    await page.mouse.move(0, 0);
    await page.evaluate(() => document.activeElement?.blur());
    await page.screenshot({ path: join(FOLDER, `${name}.png`) });
    await page.context().close();
  }
} finally {
  await browser.close();
  await server.stop();
}
