// A real browser works with `lanyard serve`: Debian's Chromium goes through steps that are given as JSON, by keyboard.
//
//   node chromium-server.mjs STEPS.json
//
// A step is {"go": URL}, {"fill": {NAME: VALUE}}, {"press": BUTTON}, {"leave": PORT} (wait until another port is shown)
// or {"picture": FILE}. Prints one JSON line: after each step the address, the title and the text, and, over all of
// them, every host asked and everything that the page's own policy has blocked. No script of a page ever runs.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const steps = JSON.parse(readFileSync(process.argv[2], 'utf8'));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
try {
  const context = await browser.newContext({ colorScheme: 'dark', javaScriptEnabled: false });
  const page = await context.newPage();
  const hosts = new Set();
  const blocked = [];
  page.on('console', (message) => message.type() === 'error' && blocked.push(message.text()));
  await page.route('**', (route, request) => {
    const host = new URL(request.url()).hostname;
    hosts.add(host);
    return ['127.0.0.1', 'localhost', '[::1]'].includes(host) ? route.continue() : route.abort();
  });
  const seen = [];
  for (const step of steps) {
    if (step.go) await page.goto(step.go);
    for (const [name, value] of Object.entries(step.fill ?? {})) await page.fill(`[name="${name}"]`, value);
    if (step.press) {
      // As a person without a mouse does it.
      await page.getByRole('button', { name: step.press, exact: true }).focus();
      await Promise.all([page.waitForEvent('load', { timeout: 15_000 }), page.keyboard.press('Enter')]);
    }
    if (step.leave) await page.waitForURL((now) => now.port !== String(step.leave), { timeout: 15_000 });
    if (step.picture) await page.screenshot({ path: step.picture });
    await page.waitForLoadState('load');
    const text = (await page.textContent('body')).replace(/\s+/g, ' ').trim();
    seen.push({ address: page.url(), title: await page.title(), text });
  }
  console.log(JSON.stringify({ seen, hosts: [...hosts], blocked }));
} finally {
  await browser.close();
}
