// A real browser with an authenticator that is none of ours: Debian's Chromium with the one of its own developer tools.
// Adds a passkey, signs in by it alone and beside a passphrase, shows by it once more who it is, and removes it. In
// between, answers are made by hand that should not be believed.
//
//   node passkey.mjs BASE LOGIN PASSPHRASE DATABASE
//
// The database is a file of SQLite, or the address of a PostgreSQL.
//
// Prints one JSON line: what was seen on the way, which rules a page broke, and what each answer got.
import { createHash, createPrivateKey, sign } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { chromium } = createRequire(new URL('../oidc-provider/', import.meta.url))('playwright-core');
const [, , base, login, passphrase, database] = process.argv;
const sha256 = (data) => createHash('sha256').update(data).digest();
const sql = (statement) => {
  const [program, ...words] = database.startsWith('postgresql:')
    ? ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', statement]
    : ['sqlite3', '-cmd', '.timeout 5000', database, statement];
  return execFileSync(program, words).toString();
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
const seen = { steps: [], violations: [], scripts: {}, answers: {} };
try {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.log(`violated: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => /violated|Refused to/.test(message.text()) && seen.violations.push(message.text()));
  page.on('pageerror', (error) => seen.violations.push(String(error)));
  const tools = await context.newCDPSession(page);
  await tools.send('WebAuthn.enable');
  const { authenticatorId } = await tools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const at = async (what) => {
    seen.steps.push({ what, title: await page.title(), path: new URL(page.url()).pathname, text: (await page.textContent('main')).replace(/\s+/g, ' ').trim() });
  };
  const press = (name) => page.getByRole('button', { name, exact: true }).click();
  const signOut = () => page.getByRole('button', { name: 'Sign out' }).first().click();
  const arrive = (title) => page.waitForFunction((title) => document.title.startsWith(title), title);
  const enter = async () => {
    await page.fill('[name=login]', login);
    await page.fill('[name=passphrase]', passphrase);
    await press('Sign in');
  };

  await page.goto(`${base}/sign-in`);
  seen.scripts.signIn = await page.evaluate(() => document.scripts.length);
  await enter();
  await arrive('Your organizations');
  await page.goto(`${base}/account/sign-in`);
  await page.fill('[name=name]', '<laptop>');
  await press('Add a passkey');
  await arrive('A passkey was added');
  await at('added');
  seen.codes = await page.locator('li code').allTextContents();
  await page.goto(`${base}/account/sign-in`);
  await at('listed');

  // The same device again has one already.
  await page.fill('[name=name]', 'again');
  await press('Add a passkey');
  await page.waitForFunction(() => document.getElementById('told')?.textContent);
  await at('twice');
  seen.policy = (await page.reload().catch(() => null))?.headers()['content-security-policy'] ?? '';

  await page.goto(`${base}/`);
  await signOut();
  await arrive('Sign in');
  const sent = page.waitForRequest((request) => request.url().endsWith('/sign-in/passkey/answer'));
  await press('Sign in with a passkey');
  seen.replay = (await sent).postData();
  await arrive('Your organizations');
  await at('alone');
  await signOut();
  await arrive('Sign in');
  await enter();
  await arrive('Second factor');
  await at('asked');
  await press('Use a passkey');
  await arrive('Your organizations');
  await at('beside');

  // Answers that are made by hand, with the passkey's own key.
  const { credentials: [known] } = await tools.send('WebAuthn.getCredentials', { authenticatorId });
  const key = createPrivateKey({ key: Buffer.from(known.privateKey, 'base64'), format: 'der', type: 'pkcs8' });
  const url = (bytes) => Buffer.from(bytes).toString('base64url');
  const plain = (text) => text.replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
  const form = async (path, fields) => {
    const answer = await fetch(base + path, {
      method: 'POST', redirect: 'manual', body: new URLSearchParams(fields),
      headers: { Origin: base, 'Content-Type': 'application/x-www-form-urlencoded' },
    });
    return { status: answer.status, text: plain(await answer.text()), cookie: answer.headers.get('set-cookie') };
  };
  const ask = async () => {
    const { text } = await form('/sign-in/passkey', {});
    return { question: /name="question" value="([^"]*)"/.exec(text)[1], options: JSON.parse(/data-options="(.*?)">/s.exec(text)[1]) };
  };
  let count = known.signCount;
  const answer = (options, change = {}) => {
    const data = {
      type: 'webauthn.get', challenge: options.challenge, origin: base, crossOrigin: false, ...change.data,
    };
    const clientData = Buffer.from(JSON.stringify(data));
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(change.count ?? ++count);
    const authenticatorData = Buffer.concat([sha256(change.site ?? options.rpId), Buffer.from([change.flags ?? 0x05]), counter]);
    const signature = sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', Buffer.concat([authenticatorData, sha256(clientData)]), key);
    return JSON.stringify({
      id: url(Buffer.from(known.credentialId, 'base64')), clientData: url(clientData), signature: url(signature),
      authenticatorData: url(authenticatorData),
      userHandle: change.handle === undefined ? url(Buffer.from(known.userHandle, 'base64')) : change.handle,
      ...change.parts,
    });
  };
  const tried = async (name, change, other) => {
    const { question, options } = await ask();
    const { status, text, cookie } = await form('/sign-in/passkey/answer', {
      question: other?.question ?? question, answer: answer(options, change), next: '/',
    });
    seen.answers[name] = { status, cookie: cookie !== null, told: /role="alert">([^<]*)</.exec(text)?.[1] ?? '' };
    return { question, options };
  };
  await tried('good', {});
  await tried('origin', { data: { origin: 'https://evil.example' } });
  await tried('port', { data: { origin: base.replace(/:\d+$/, ':1') } });
  await tried('frame', { data: { crossOrigin: true } });
  await tried('kind', { data: { type: 'webauthn.create' } });
  await tried('challenge', { data: { challenge: url(Buffer.alloc(32)) } });
  await tried('site', { site: 'evil.example' });
  await tried('absent', { flags: 0x04 });
  await tried('unverified', { flags: 0x01 });
  await tried('handle', { handle: url('somebody') });
  await tried('nobody', { handle: null });
  await tried('unknown', { parts: { id: url('another credential') } });
  await tried('signature', { parts: { signature: url(Buffer.alloc(70)) } });
  await tried('nothing', { parts: { clientData: 'x' } });
  await tried('copy', { count: 1 });
  await tried('good again', {});
  // A question that was answered, or asked for something else, is none.
  const spent = await ask();
  await form('/sign-in/passkey/answer', { question: spent.question, answer: '{}', next: '/' });
  const again = await form('/sign-in/passkey/answer', { question: spent.question, answer: answer(spent.options), next: '/' });
  seen.answers.spent = { status: again.status, cookie: again.cookie !== null, told: /role="alert">([^<]*)</.exec(again.text)[1] };
  const old = await ask();
  sql('UPDATE passkey_challenges SET expires = 1');
  const late = await form('/sign-in/passkey/answer', { question: old.question, answer: answer(old.options), next: '/' });
  seen.answers.late = { status: late.status, cookie: late.cookie !== null, told: /role="alert">([^<]*)</.exec(late.text)[1] };

  // Long after the sign-in, a passkey shows who it is; then it goes.
  sql('UPDATE sessions SET proved = 1');
  // The device itself knows nothing of what was made by hand.
  sql(`UPDATE passkeys SET counted = ${known.signCount}`);
  await page.goto(`${base}/account/sign-in`);
  await page.getByRole('button', { name: 'Remove' }).click();
  await arrive('Is it you?');
  await at('stale');
  await press('Use a passkey');
  await page.waitForURL(`${base}/account/sign-in`);
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.waitForFunction(() => document.body.textContent.includes('You have none.'));
  await at('removed');
  await tried('removed', {});
  await page.goto(`${base}/`);
  await signOut();
  await arrive('Sign in');
  await enter();
  await arrive('Your organizations');
  await at('passphrase alone');

  // Without a script, the page says so.
  const still = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await still.goto(`${base}/sign-in`);
  await still.getByRole('button', { name: 'Sign in with a passkey' }).click();
  seen.without = (await still.textContent('main')).replace(/\s+/g, ' ').trim();
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
