// The pictures of the portal in the documentation: sets a fresh server up, stores credentials of several kinds, lets a few
// people in, and puts a page in the light and one in the dark beside each other. In the documentation
// they have 256 colours, so that they are small.
//
//   lanyard serve --data DIR --master-key-file DIR/master.key --listen 127.0.0.1:7447 &
//   node portal-picture.mjs "$(cat DIR/setup-link)" PICTURE.png TEAM-PICTURE.png
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , link, picture, team] = process.argv;
const base = new URL(link).origin;
const passphrase = 'correct horse battery';
const days = (count) => new Date(Date.now() + count * 86_400_000).toISOString();
const valid = { outcome: 'valid', expires: null };
const credentials = [
  { name: 'aws-prod', kind: 'aws_static', fields: { access_key_id: 'AKIAIOSFODNN7EXAMPLE', region: 'eu-west-1' }, data: { secret_access_key: 'k'.repeat(40) }, verdict: valid, tags: ['prod'] },
  { name: 'deploy', kind: 'aws_assume_role', fields: { role_arn: 'arn:aws:iam::123456789012:role/deploy', source: 'aws-prod' }, data: {}, verdict: valid },
  { name: 'ghcr', kind: 'registry', fields: { url: 'https://ghcr.io', username: 'acme-ci', flavour: 'ghcr' }, data: { password: 'p'.repeat(40) }, verdict: valid, expires: days(4), tags: ['ci'] },
  { name: 'hetzner', kind: 'hetzner_api_token', data: { api_token: 'h'.repeat(64) }, verdict: valid },
  { name: 'openai', kind: 'api_key', fields: { service: 'openai' }, data: { api_key: `sk-proj-${'a'.repeat(40)}` }, verdict: valid },
  { name: 'git-mirror', kind: 'git', project: 'web-shop', fields: { host: 'git.example.com', username: 'mirror' }, data: { token: 't'.repeat(30) }, expires: days(-2) },
  { name: 'database', kind: 'generic_env', project: 'web-shop', data: { DATABASE_URL: 'postgres://db' } },
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
try {
  const context = await browser.newContext({ viewport: { width: 980, height: 860 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const submit = (on, text) => Promise.all([on.waitForNavigation(), on.locator('main').getByRole('button', { name: text, exact: true }).click()]);
  await page.goto(link);
  for (const [name, value] of [['organization', 'Acme'], ['login', 'alice@example.com'], ['passphrase', passphrase], ['again', passphrase]]) await page.fill(`[name=${name}]`, value);
  await submit(page, 'Set up');
  await Promise.all([page.waitForURL(/\/credentials$/), page.click('main a[href$="/credentials"]')]);
  const home = page.url().replace(/\/credentials$/, '');
  await page.goto(`${home}/keys`);
  await page.fill('[name=name]', 'picture');
  for (const box of await page.$$('[type=checkbox]')) await box.check();
  await submit(page, 'Make a key');
  const key = await page.textContent('code.once');
  const ask = async (method, path, body) => {
    const answer = await fetch(`${base}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? {} : answer.json();
  };
  await ask('POST', '/projects', { name: 'web-shop' });
  const ids = {};
  for (const one of credentials) {
    ids[one.name] = (await ask('POST', '/credential-configs', one)).id;
    if (one.verdict) await ask('POST', `/credential-configs/${ids[one.name]}/notes`, { used: { at: new Date().toISOString() } });
  }
  await ask('POST', '/workspaces', { name: 'release', project: 'web-shop', credential_config_ids: [ids['aws-prod'], ids.database] });
  for (const [login, role] of [['bob@example.com', 'admin'], ['carol@example.com', 'member'], ['dave@example.com', 'reader']]) {
    const { link: invitation } = await ask('POST', '/invitations', { role, for: login });
    const guest = await (await browser.newContext()).newPage();
    await guest.goto(invitation);
    for (const [name, value] of [['passphrase', passphrase], ['again', passphrase]]) await guest.fill(`[name=${name}]`, value);
    await submit(guest, 'Join');
    await guest.close();
  }
  for (const name of ['aws-prod', 'database', 'openai', 'aws-prod']) {
    await fetch(`${base}/credential-configs/${ids[name]}/secrets`, { headers: { authorization: `Bearer ${key}`, 'user-agent': 'lanyard/0.1.0' } });
  }

  const shot = async (address, scheme) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await page.goto(address);
    return page.screenshot();
  };
  const beside = async (light, dark, file) => {
    const both = await (await browser.newContext({ viewport: { width: 1480, height: 664 } })).newPage();
    const shown = (shot) => `<img width="720" src="data:image/png;base64,${shot.toString('base64')}">`;
    await both.setContent(`<body style="margin:0;padding:16px;display:flex;gap:8px;background:#808494">${shown(light)}${shown(dark)}`);
    await both.screenshot({ path: file });
  };
  await beside(await shot(`${home}/credentials`, 'light'), await shot(`${home}/credentials/${ids['aws-prod']}`, 'dark'), picture);
  await beside(await shot(`${home}/members`, 'light'), await shot(`${home}/audit?action=secret.read`, 'dark'), team);
} finally {
  await browser.close();
}
