// The picture of the portal in the documentation: sets a fresh server up, stores credentials of several kinds, and puts
// the list in the light and the details in the dark beside each other.
//
//   lanyard serve --data DIR --master-key-file DIR/master.key --listen 127.0.0.1:7447 &
//   node portal-picture.mjs "$(cat DIR/setup-link)" PICTURE.png
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , link, picture] = process.argv;
const base = new URL(link).origin;
const days = (count) => new Date(Date.now() + count * 86_400_000).toISOString();
const valid = { outcome: 'valid', expires: null };
const credentials = [
  { name: 'aws-prod', kind: 'aws_static', fields: { access_key_id: 'AKIAIOSFODNN7EXAMPLE', region: 'eu-west-1' }, data: { secret_access_key: 'k'.repeat(40) }, verdict: valid, tags: ['prod'] },
  { name: 'deploy', kind: 'aws_assume_role', fields: { role_arn: 'arn:aws:iam::123456789012:role/deploy', source: 'aws-prod' }, data: {}, verdict: valid },
  { name: 'ghcr', kind: 'registry', fields: { url: 'https://ghcr.io', username: 'acme-ci', flavour: 'ghcr' }, data: { password: 'p'.repeat(40) }, verdict: valid, expires: days(4), tags: ['ci'] },
  { name: 'hetzner', kind: 'hetzner_api_token', data: { api_token: 'h'.repeat(64) }, verdict: valid },
  { name: 'openai', kind: 'api_key', fields: { service: 'openai' }, data: { api_key: `sk-proj-${'a'.repeat(40)}` }, verdict: valid },
  { name: 'git-mirror', kind: 'git', fields: { host: 'git.example.com', username: 'mirror' }, data: { token: 't'.repeat(30) }, expires: days(-2) },
  { name: 'database', kind: 'generic_env', data: { DATABASE_URL: 'postgres://db' } },
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
try {
  const context = await browser.newContext({ viewport: { width: 980, height: 800 } });
  const page = await context.newPage();
  await page.goto(link);
  for (const [name, value] of [['organization', 'Acme'], ['login', 'alice@example.com'], ['passphrase', 'correct horse battery'], ['again', 'correct horse battery']]) await page.fill(`[name=${name}]`, value);
  await Promise.all([page.waitForNavigation(), page.click('button')]);
  await page.click('main a[href$="/credentials"]');
  const list = page.url();
  await page.goto(list.replace(/credentials$/, 'keys'));
  await page.fill('[name=name]', 'picture');
  for (const box of await page.$$('[type=checkbox]')) await box.check();
  await Promise.all([page.waitForNavigation(), page.click('main form button')]);
  const key = await page.textContent('code.once');
  for (const one of credentials) {
    const made = await fetch(`${base}/credential-configs`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(one) });
    if (made.status !== 201) throw new Error(`${one.name}: ${made.status} ${await made.text()}`);
    const { id } = await made.json();
    if (one.verdict) {
      const used = { used: { at: new Date().toISOString() } };
      await fetch(`${base}/credential-configs/${id}/notes`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(used) });
    }
  }
  await page.goto(list);
  const light = await page.screenshot();
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.click('a:text("aws-prod")');
  const dark = await page.screenshot();
  const both = await (await browser.newContext({ viewport: { width: 1480, height: 640 } })).newPage();
  const shown = (shot) => `<img width="720" src="data:image/png;base64,${shot.toString('base64')}">`;
  await both.setContent(`<body style="margin:0;padding:16px;display:flex;gap:8px;background:#808494">${shown(light)}${shown(dark)}`);
  await both.screenshot({ path: picture });
} finally {
  await browser.close();
}
