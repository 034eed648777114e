// A real browser adds a registry of charts in the portal, asks it, looks at what it has, changes and deletes it.
//
//   node registries.mjs SETUP-LINK REPOSITORY-URL
//
// Prints one JSON line: what was seen on the way, which rules a page broke, which scripts ran, which hosts were asked.
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , link, repository] = process.argv;
const passphrase = 'LNYCANARYcorrecthorse battery staple';

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
const seen = { steps: [], violations: [], scripts: [], errors: [], unlabelled: [] };
const hosts = new Set();
const context = await browser.newContext();
await context.addInitScript(() => {
  document.addEventListener('securitypolicyviolation', (event) => console.log(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
});
const page = await context.newPage();
page.setDefaultTimeout(30_000);
page.on('dialog', (dialog) => { seen.scripts.push(dialog.message()); dialog.dismiss(); });
page.on('pageerror', (error) => seen.errors.push(String(error)));
page.on('console', (message) => {
  if (/Content Security Policy|Refused to/.test(message.text())) seen.violations.push(message.text());
});
await page.route('**', (route, request) => {
  hosts.add(new URL(request.url()).host);
  return new URL(request.url()).hostname === '127.0.0.1' ? route.continue() : route.abort();
});

// Looks at a page as somebody does who cannot see it, and as somebody who looks for what should not be there.
async function look(what) {
  const found = await page.evaluate(() => ({
    headings: document.querySelectorAll('h1').length,
    mains: document.querySelectorAll('main').length,
    unlabelled: [...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, textarea')]
      .filter((one) => !one.labels?.length && !one.getAttribute('aria-label')).map((one) => one.outerHTML),
    scripts: document.scripts.length + document.querySelectorAll('main img, iframe, link[rel=stylesheet]').length,
    wide: document.documentElement.scrollWidth > window.innerWidth + 1,
    text: document.querySelector('main').innerText,
  }));
  const bad = found.headings !== 1 || found.mains !== 1 || found.scripts || found.wide;
  seen.steps.push({ what, ...(bad ? { bad: found } : {}) });
  seen.unlabelled.push(...found.unlabelled);
  return found.text;
}
const press = (name) => Promise.all([page.waitForNavigation(), page.locator(name).first().press('Enter')]);

try {
  await page.goto(link);
  for (const [name, value] of [['organization', 'Acme'], ['login', 'alice@example.com'], ['passphrase', passphrase], ['again', passphrase]]) await page.fill(`[name=${name}]`, value);
  await press('main button');
  await press('main a[href$="/credentials"]');
  await press('header a[href$="/registries"]');
  seen.empty = (await look('no registries')).includes('There is no registry yet');
  await press('main a[href$="/new"]');
  await look('form');
  await page.fill('[name=name]', 'a b');
  await page.selectOption('[name=kind]', 'helm-http');
  await page.fill('[name=url]', repository);
  await press('main form button');
  seen.refused = await page.locator('[role=alert]').innerText();
  seen.typed = await page.inputValue('[name=url]');
  await look('refused');
  await page.fill('[name=name]', 'stable');
  await press('main form button');
  await look('added');
  await press('button:text("Sync now")');
  seen.synced = await look('synced');
  await page.setViewportSize({ width: 380, height: 800 });
  await look('narrow');
  await page.setViewportSize({ width: 1280, height: 800 });
  await press('main a[href$="/edit"]');
  await look('edit');
  await page.fill('[name=name]', 'renamed');
  await press('main form button');
  seen.renamed = await page.locator('h1').innerText();
  await press('header a[href$="/registries"]');
  seen.listed = await look('list');
  await press('main table a');
  await press('main a[href$="/delete"]');
  await look('delete');
  await press('main form button');
  seen.deleted = (await look('deleted')).includes('There is no registry yet');
} catch (error) {
  seen.errors.push(`${error.message} at ${page.url()}`);
}
await browser.close();
console.log(JSON.stringify({ ...seen, hosts: [...hosts] }));
