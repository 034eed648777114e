// A real browser signs in: Debian's Chromium opens an authorization URL of the provider in ../oidc-provider, types the
// name and the password, consents, and stays until the loopback callback has answered.
//
//   node chromium-login.mjs URL [PICTURE.png]
//
// Prints one JSON line with what a person sees at the end: the address bar, the title, the text, and every host asked.
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , url, picture] = process.argv;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
try {
  const page = await browser.newPage({ colorScheme: 'dark' });
  const hosts = new Set();
  await page.route('**', (route, request) => {
    const host = new URL(request.url()).hostname;
    hosts.add(host);
    return ['127.0.0.1', 'localhost', '[::1]'].includes(host) ? route.continue() : route.abort();
  });

  await page.goto(url);
  await page.fill('input[name=login]', 'alice');
  await page.fill('input[name=password]', 'any password');
  await page.click('button[type=submit]');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL((now) => now.port !== new URL(url).port, { timeout: 15_000 });
  await page.waitForLoadState('load');
  if (picture) await page.screenshot({ path: picture });
  console.log(JSON.stringify({
    address: page.url(),
    title: await page.title(),
    text: (await page.textContent('body')).replace(/\s+/g, ' ').trim(),
    hosts: [...hosts],
  }));
} finally {
  await browser.close();
}
