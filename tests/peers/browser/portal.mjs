// A real browser goes through the portal of a server that nobody has set up yet: by the keyboard alone, then by a mouse,
// then without a script. Every name that it types tries to be one.
//
//   node portal.mjs SETUP-LINK REGISTRY-URL
//
// Prints one JSON line: what was seen on the way, which rules a page broke, which scripts ran, which hosts were asked.
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , link, registry] = process.argv;
const base = new URL(link).origin;
const hostile = '"><img src=x onerror=alert(1)><script>alert(2)</script>';
const secret = 'LNYCANARYbrowser0123456789';
const login = 'alice@example.com';
const passphrase = 'LNYCANARYcorrecthorse battery staple';

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
const seen = { steps: [], violations: [], scripts: [], errors: [], hosts: [], unlabelled: [], kept: [], focus: [] };
const hosts = new Set();

async function watch(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('dialog', (dialog) => { seen.scripts.push(dialog.message()); dialog.dismiss(); });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) seen.violations.push(message.text());
  });
  await page.route('**', (route, request) => {
    hosts.add(new URL(request.url()).host);
    return new URL(request.url()).hostname === '127.0.0.1' ? route.continue() : route.abort();
  });
  return page;
}

const context = await browser.newContext();
await context.addInitScript(() => {
  document.addEventListener('securitypolicyviolation', (event) => console.log(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
});
const page = await watch(context);

// Looks at a page as somebody does who cannot see it, and as somebody who looks for what should not be there.
async function look(what) {
  const found = await page.evaluate((secret) => ({
    title: document.title,
    heading: document.querySelector('h1')?.textContent ?? '',
    headings: document.querySelectorAll('h1').length,
    mains: document.querySelectorAll('main').length,
    language: document.documentElement.lang,
    unlabelled: [...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, textarea')]
      .filter((one) => !one.labels?.length && !one.getAttribute('aria-label')).map((one) => one.outerHTML),
    unnamed: [...document.querySelectorAll('a, button')].filter((one) => !one.textContent.trim()).map((one) => one.outerHTML),
    scripts: document.scripts.length + document.querySelectorAll('img, iframe, link[rel=stylesheet]').length,
    wide: document.documentElement.scrollWidth > window.innerWidth + 1,
    kept: document.documentElement.outerHTML.includes(secret) || JSON.stringify({ ...localStorage, ...sessionStorage }) !== '{}',
  }), secret);
  const bad = found.headings !== 1 || found.mains !== 1 || found.language !== 'en' || found.scripts || found.wide;
  seen.steps.push({ what, title: found.title, heading: found.heading, ...(bad ? { bad: found } : {}) });
  seen.unlabelled.push(...found.unlabelled, ...found.unnamed);
  if (found.kept) seen.kept.push(what);
}

// Tab to the first place that fits.
async function reach(selector, text) {
  for (let step = 0; step < 120; step++) {
    await page.keyboard.press('Tab');
    const there = await page.evaluate(([selector, text]) => {
      const at = document.activeElement;
      const style = getComputedStyle(at);
      return { is: at.matches(selector) && (!text || at.textContent.includes(text)), seen: style.outlineStyle !== 'none' && style.outlineWidth !== '0px', what: at.outerHTML.slice(0, 80) };
    }, [selector, text]);
    if (there.is) {
      if (!there.seen) seen.focus.push(there.what);
      return;
    }
  }
  throw new Error(`the keyboard does not reach ${selector} ${text ?? ''} on ${page.url()}`);
}
async function type(name, text) {
  await reach(`[name="${name}"]`);
  await page.keyboard.type(text);
}
async function press(selector, text) {
  await reach(selector, text);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

try {
  await page.goto(link);
  await look('set-up');
  for (const [name, value] of [['organization', hostile], ['login', login], ['passphrase', passphrase], ['again', passphrase]]) await type(name, value);
  await press('button', 'Set up');
  await look('home');
  await press('main a[href$="/credentials"]');
  await look('no credentials');
  const list = page.url();
  await press('a', 'Add a credential');
  await look('kinds');
  await press('a[href$="kind=registry"]');
  await look('form');
  await type('name', 'reg');
  await type('f-url', registry);
  await type('f-username', 'u');
  await type('f-password', secret);
  await type('tags', hostile);
  await type('note', hostile);
  await page.keyboard.press('Enter');
  await page.waitForURL(/done=stored/);
  await look('stored');
  const one = page.url().split('?')[0];
  await press('button', 'Verify now');
  await look('verified');
  seen.verified = (await page.textContent('main')).includes('It works');

  // What is wrong is said, and no secret comes back.
  await page.goto(`${list}/new?kind=api_key`);
  await page.fill('[name=name]', 'reg');
  await page.fill('[name=f-service]', hostile);
  await page.fill('[name=f-api_key]', secret);
  await Promise.all([page.waitForNavigation(), page.click('main button')]);
  await look('refused');
  seen.refused = await page.textContent('[role=alert]');
  seen.echoed = await page.inputValue('[name=f-api_key]');
  await page.goto(`${list}/new?kind=generic_env`);
  await page.fill('[name=name]', 'env');
  await page.fill('[name=n-0]', 'A');
  await page.fill('[name=v-0]', secret);
  await page.fill('[name=note]', hostile);
  await Promise.all([page.waitForNavigation(), page.click('main button')]);
  await look('second');

  // Narrowed by type and by name.
  await page.goto(list);
  await reach('[name=kind]');
  await page.keyboard.type('registry login');
  await press('button', 'Filter');
  await look('by type');
  const names = async () => (await page.$$eval('tbody th a', (all) => all.map((one) => one.textContent)));
  seen.byType = await names();
  await page.goto(list);
  await type('q', 'EN');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  seen.byName = await names();
  await page.goto(`${list}?q=${encodeURIComponent(hostile)}&kind=${encodeURIComponent(hostile)}`);
  await look('hostile filter');

  for (const rest of ['edit', 'values', 'delete']) {
    await page.goto(`${one}/${rest}`);
    await look(rest);
  }
  await press('button', 'Delete');
  await look('deleted');
  seen.left = await names();

  // Keys and the account.
  await page.goto(list.replace(/credentials$/, 'keys'));
  await look('keys');
  await page.fill('[name=name]', hostile);
  await page.check('[value="credentials.read"]');
  await Promise.all([page.waitForNavigation(), page.click('main form button')]);
  await look('key made');
  seen.key = (await page.textContent('code.once')).slice(0, 8);
  await Promise.all([page.waitForNavigation(), page.click('main a')]);
  await look('key listed');
  await press('main td a', 'Revoke');
  await look('key revoke');
  await press('button', 'Revoke');
  await page.goto(`${base}/account`);
  await look('account');

  // On a small screen, and in the dark.
  await page.setViewportSize({ width: 360, height: 700 });
  await page.emulateMedia({ colorScheme: 'dark' });
  for (const address of [list, `${list}/new`, `${base}/account`, list.replace(/credentials$/, 'keys')]) {
    await page.goto(address);
    await look('small and dark');
  }
  seen.dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);

  // Without a script.
  const plain = await watch(await browser.newContext({ javaScriptEnabled: false }));
  await plain.goto(list);
  await plain.fill('[name=login]', login);
  await plain.fill('[name=passphrase]', passphrase);
  await plain.click('main button');
  await plain.waitForURL(list);
  seen.plain = await plain.locator('tbody th a').allTextContents();
  seen.hosts = [...hosts];
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(error, JSON.stringify(seen), await page.content());
  process.exitCode = 1;
} finally {
  await browser.close();
}
