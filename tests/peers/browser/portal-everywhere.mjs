// A real browser fills a fresh server by its forms, with names that try to be scripts, and then goes to every page that a
// link leads to: as the owner, and as a reader whom the owner has invited. Each page is looked at as somebody does who
// cannot see it (axe-core), as somebody with a keyboard alone, and as somebody with a small screen.
//
//   node portal-everywhere.mjs SETUP-LINK PROFILE-FOLDER
//
// Prints one JSON line: what was found, by its kind, and how many pages there were. The folder of the browser's profile
// stays, so that it can be searched for secrets.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(new URL('../oidc-provider/', import.meta.url));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [, , link, profile] = process.argv;
const base = new URL(link).origin;
const hostile = '"><img src=x onerror=alert(1)><script>alert(2)</script>\'';
const secret = 'LNYCANARYeverywhere0123456789';
const passphrase = 'LNYCANARYcorrecthorse battery staple';
const launch = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
};
const found = { violations: [], scripts: [], errors: [], axe: [], wide: [], focus: [], broken: [], bare: [], kept: [], steps: [] };
const hosts = new Set();
const pages = {};

async function watch(context) {
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.log(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on('dialog', (dialog) => { found.scripts.push(`${page.url()} ${dialog.message()}`); dialog.dismiss(); });
  page.on('pageerror', (error) => found.errors.push(`${page.url()} ${error}`));
  page.on('console', (message) => {
    const text = message.text();
    if (/Content Security Policy|Refused to/.test(text)) found.violations.push(`${page.url()} ${text}`);
    // What a page answers with a status of its own is noted by the browser as well; statuses are looked at apart.
    else if (message.type() === 'error' && !/status of 4\d\d/.test(text)) found.errors.push(`${page.url()} ${text}`);
  });
  await page.route('**', (route, request) => {
    hosts.add(new URL(request.url()).host);
    return new URL(request.url()).hostname === '127.0.0.1' ? route.continue() : route.abort();
  });
  return page;
}

// Fills in a form of the present page and sends it.
async function send(page, fields, button) {
  for (const [name, value] of Object.entries(fields)) {
    const input = page.locator(`main [name="${name}"]`).first();
    const kind = await input.evaluate((one) => one.type);
    if (kind === 'select-one') await input.selectOption(value);
    else if (kind === 'checkbox') await page.check(`main [name="${name}"][value="${value}"]`);
    else await input.fill(value);
  }
  await Promise.all([page.waitForNavigation(), page.locator('main').getByRole('button', { name: button, exact: true }).click()]);
  found.steps.push(`${await page.title()} ${new URL(page.url()).search}`);
}

// What is wrong with a page for whoever cannot see it. By DevTools, since the page itself lets no script run.
async function heard(page, devtools, who) {
  await devtools.send('Runtime.evaluate', { expression: axe });
  const run = 'axe.run({ resultTypes: ["violations"] }).then((all) => JSON.stringify(all.violations.map((one) => [one.id, one.nodes.map((node) => node.html)])))';
  const { result } = await devtools.send('Runtime.evaluate', { expression: run, awaitPromise: true, returnByValue: true });
  for (const [rule, nodes] of JSON.parse(result.value ?? '[["axe did not run", []]]')) {
    found.axe.push(`${who} ${page.url()} ${rule}: ${nodes.slice(0, 3).join(' ').slice(0, 400)}`);
  }
}

// Goes through a page by the Tab key: everything is reached, in its order, and is seen to be.
async function tabbed(page, who) {
  const count = await page.evaluate(() => {
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]):not([hidden]), select, textarea, [tabindex="0"]')];
    all.forEach((one, place) => { one.dataset.place = place; });
    document.activeElement?.blur();
    return all.length;
  });
  const reached = [];
  for (let step = 0; step < 4 * count + 8; step++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one?.dataset?.place) return null;
      const style = getComputedStyle(one);
      const box = one.getBoundingClientRect();
      return {
        place: Number(one.dataset.place),
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 1 && box.width > 0 && box.right > 0 && box.bottom > 0,
        html: one.outerHTML.slice(0, 100),
      };
    });
    // At the end it begins again, by way of the browser's own places or at once.
    if (!at || reached.length > 1 && at.place === reached[0]) break;
    if (!at.seen) found.focus.push(`${who} ${page.url()} cannot be seen: ${at.html}`);
    // The parts of a date are one place.
    if (reached.at(-1) !== at.place) reached.push(at.place);
  }
  const expected = Array.from({ length: count }, (_, place) => place).join();
  if (reached.join() !== expected) found.focus.push(`${who} ${page.url()} is gone through as ${reached.join()}`);
}

// Every page that a link leads to.
async function crawl(page, who, first, wanted) {
  const devtools = await page.context().newCDPSession(page);
  const known = new Map([[first, 'the first']]);
  const shapes = new Set();
  for (const [address, from] of known) {
    const answer = await page.goto(address).catch((error) => error);
    if (String(answer).includes('Download is starting')) continue;
    const path = new URL(address).pathname;
    if (!answer.status || !(answer.status() === 200 || answer.status() === 409 && path.endsWith('/delete'))) {
      found.broken.push(`${who} ${from} → ${address}: ${answer.status?.() ?? answer}`);
      continue;
    }
    const seen = await page.evaluate(async (secret) => ({
      links: [...document.querySelectorAll('a[href]')].map((one) => one.href.split('#')[0]),
      bare: document.querySelectorAll('h1').length !== 1 || document.querySelectorAll('main').length !== 1 || document.documentElement.lang !== 'en'
        || document.scripts.length || document.querySelectorAll('img, iframe, link, object').length,
      here: location.pathname.startsWith('/portal/') ? document.querySelectorAll('header [aria-current=page]').length : 1,
      kept: document.documentElement.outerHTML.includes(secret) || document.cookie || localStorage.length || sessionStorage.length
        || (await Promise.all([indexedDB.databases(), caches.keys()])).flat().length,
    }), secret);
    if (seen.bare || seen.here !== 1) found.bare.push(`${who} ${address}`);
    if (seen.kept) found.kept.push(`${who} ${address}`);
    // What differs by an identifier alone is looked at once; each kind has a form of its own.
    const shape = path.replace(/(cred|proj|ws|person|rule|org)_[0-9a-zA-Z_-]+/g, 'ID').replace(/[0-9A-Za-z]{16,}/g, 'ID') + (address.includes('kind=') ? '?kind' : '');
    const isNew = !shapes.has(shape);
    shapes.add(shape);
    if (isNew || shape.endsWith('?kind')) {
      await heard(page, devtools, who);
      await page.setViewportSize({ width: 375, height: 700 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > 375) found.wide.push(`${who} ${address}: ${wide}`);
      await page.setViewportSize({ width: 1100, height: 800 });
    }
    if (isNew) {
      await tabbed(page, who);
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.setViewportSize({ width: 375, height: 700 });
      await heard(page, devtools, `${who}, small and dark,`);
      await page.emulateMedia({ colorScheme: 'light' });
      await page.setViewportSize({ width: 1100, height: 800 });
    }
    for (const next of seen.links) {
      if (new URL(next).origin !== base) found.broken.push(`${who} ${address} leads out to ${next}`);
      else if (!known.has(next) && wanted(next)) known.set(next, address);
    }
  }
  pages[who] = [...shapes].sort();
}

const context = await chromium.launchPersistentContext(profile, { ...launch, reducedMotion: 'reduce', userAgent: `Mozilla ${hostile}` });
let other;
try {
  const page = await watch(context);
  await page.goto(link);
  await send(page, { organization: hostile, login: 'alice@example.com', passphrase, again: passphrase }, 'Set up');
  await Promise.all([page.waitForURL(/\/credentials$/), page.click('main a[href$="/credentials"]')]);
  const home = page.url().replace(/\/credentials$/, '');
  const go = (rest) => page.goto(`${home}/${rest}`);

  // Something of everything, by the forms.
  await go('projects/new');
  await send(page, { name: 'web' }, 'Make it');
  await go('projects/new');
  await send(page, { name: 'empty' }, 'Make it');
  await go('credentials/new?kind=registry');
  await send(page, { name: 'reg', 'f-url': 'https://registry.example.com', 'f-username': 'u', 'f-password': secret, tags: hostile, note: hostile, expires: '2020-01-01' }, 'Store');
  await go('credentials/new?kind=generic_env');
  await send(page, { name: 'env', project: 'web', 'n-0': 'A', 'v-0': secret, note: hostile }, 'Store');
  const one = page.url().split('?')[0];
  await page.goto(`${one}/values`);
  await send(page, { 's-A': secret }, 'Replace');
  await go('workspaces/new');
  await send(page, { name: 'deploy', project: 'web' }, 'Make it');
  for (const box of await page.$$('main [name=credential]')) await box.check();
  await send(page, {}, 'Save');
  await go('keys');
  await send(page, { name: hostile.slice(0, 60), permission: 'credentials.read' }, 'Make a key');
  await go('trust-rules/new');
  await send(page, { name: hostile.slice(0, 60), issuer: 'https://id.example', subject: `a${hostile}`, claims: `b = ${hostile}`, permission: 'credentials.read' }, 'Save the rule');
  await go('trust-rules/try');
  await send(page, { token: secret }, 'Try it');
  // What is refused is said above the form, leads to the input, and has the focus.
  await go('trust-rules/new');
  await send(page, { name: 'x', issuer: 'https://id.example', subject: '*', permission: 'credentials.read' }, 'Save the rule');
  found.refused = await page.evaluate(() => [document.activeElement.id, document.querySelector('#problem a').getAttribute('href'), document.querySelector('#subject').name, document.querySelector('#subject').getAttribute('aria-describedby')]);
  await heard(page, await context.newCDPSession(page), 'owner, refused,');
  await go(`audit?action=${encodeURIComponent(hostile)}&actor=${encodeURIComponent(hostile)}`);
  found.steps.push(await page.textContent('main .empty strong'));
  await go('audit');
  await send(page, {}, 'Check the whole of it');
  found.holds = await page.textContent('[role=status]');
  await heard(page, await context.newCDPSession(page), 'owner, checked,');

  // Somebody else, who may look alone. One more invitation stays open.
  const invitations = [];
  for (const whom of ['bob@example.com', 'carol@example.com']) {
    await go('invitations/new');
    await send(page, { for: whom, note: hostile, role: 'reader' }, 'Make a link');
    invitations.push(await page.textContent('code.once'));
  }
  other = await chromium.launch(launch);
  const reader = await watch(await other.newContext({ reducedMotion: 'reduce' }));
  await reader.goto(invitations[0]);
  await send(reader, { passphrase, again: passphrase }, 'Join');

  // The skip link skips.
  await go('credentials');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  found.skipped = await page.evaluate(() => Boolean(document.activeElement.closest('main')));

  // A form of a kind is the same wherever it is opened from.
  const isOrdinary = (address) => !(address.includes('project=') && address.includes('kind='));
  await crawl(page, 'owner', `${base}/`, isOrdinary);
  await crawl(reader, 'reader', `${base}/`, isOrdinary);

  // By Space and Enter alone: a box is ticked, a member gets a role, and is removed.
  const reach = async (selector) => {
    for (let step = 0; step < 150; step++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
    }
    throw new Error(`the keyboard does not reach ${selector} on ${page.url()}`);
  };
  const enter = async (selector) => {
    await reach(selector);
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  };
  await go('members');
  await enter('td a[href$="/role"]');
  found.steps.push(await page.title());
  await go('workspaces');
  await enter('main th a');
  await enter('main a[href$="/edit"]');
  await reach('main [name=credential]');
  await page.keyboard.press('Space');
  found.unticked = await page.evaluate(() => !document.activeElement.checked);
  await enter('main form[method=post] button');
  found.changed = await page.textContent('[role=status]');
  await enter('main a[href$="/delete"]');
  await enter('main button.bad');
  found.deleted = await page.textContent('[role=status]');

  // What was seen is not there after the end of the session.
  await go('credentials');
  await Promise.all([page.waitForNavigation(), page.click('.you button')]);
  await page.goBack().catch(() => null);
  await page.waitForLoadState('load');
  found.after = await page.title();
  found.hosts = [...hosts];
  console.log(JSON.stringify({ ...found, pages }));
} catch (error) {
  console.error(error, JSON.stringify(found));
  process.exitCode = 1;
} finally {
  await other?.close();
  await context.close();
}
