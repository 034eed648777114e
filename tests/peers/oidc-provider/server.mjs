// A certified OpenID provider that lanyard's authors did not write, with short-lived tokens, on loopback only.
//
//   node server.mjs
//
// Settings come from the environment: PORT (0: any free one), ACCESS_TTL, REFRESH_TTL, DEVICE_TTL (seconds), ROTATE=0
// (refresh tokens are kept), TOKEN_DELAY_MS (the token endpoint answers late), ANSWER_DELAY_MS (what it did when it renewed
// is told late), CALLBACK_PORT (of cli-fixed-port), WEB_REDIRECT (of web).
// Prints `ready ISSUER` once it listens. Any name signs in with any password. `GET /__counts` answers how many requests each path has had.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const setting = (name, fallback) => Number(process.env[name] ?? fallback);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const server = createServer();
await new Promise((done) => server.listen(setting('PORT', 0), '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

// A native client: no secret, any port of the loopback address.
const native = {
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  response_types: ['code'],
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
  token_endpoint_auth_method: 'none',
};

const provider = new Provider(issuer, {
  clients: [
    { client_id: 'cli-public', ...native },
    { client_id: 'cli-par', ...native, require_pushed_authorization_requests: true },
    {
      client_id: 'cli-confidential', ...native,
      client_secret: 'confidential-secret', token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: 'server-confidential', ...native, redirect_uris: ['http://127.0.0.1/connect/callback'],
      client_secret: 'LNYCANARYclientsecret0123456789', token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: 'cli-fixed-port', ...native, application_type: 'web',
      redirect_uris: [`http://127.0.0.1:${setting('CALLBACK_PORT', 8765)}/callback`],
    },
    {
      client_id: 'web', client_secret: 'LNYCANARYweb client secret', token_endpoint_auth_method: 'client_secret_basic',
      response_types: ['code'], grant_types: ['authorization_code'],
      redirect_uris: [process.env.WEB_REDIRECT ?? 'http://127.0.0.1/none'],
    },
  ],
  scopes: ['openid', 'offline_access', 'profile', 'email', 'api:read', 'api:write'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  findAccount: async (_context, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id, name: `User ${id}`, preferred_username: id, email: `${id}@example.test`, email_verified: true,
    }),
  }),
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true, charset: 'base-20', mask: '****-****' },
    introspection: { enabled: true, allowedPolicy: () => true },
    pushedAuthorizationRequests: { enabled: true },
    revocation: { enabled: true, allowedPolicy: () => true },
    userinfo: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: process.env.ROTATE !== '0',
  ttl: {
    AccessToken: setting('ACCESS_TTL', 5),
    IdToken: setting('ACCESS_TTL', 5),
    RefreshToken: setting('REFRESH_TTL', 3600),
    DeviceCode: setting('DEVICE_TTL', 60),
    AuthorizationCode: 30,
    Interaction: 600,
    Grant: 7200,
    Session: 7200,
  },
  cookies: { keys: ['for-tests-only'] },
});

const counts = {};
provider.use(async (context, next) => {
  if (context.path === '/__counts') {
    context.body = counts;
    return;
  }
  counts[context.path] = (counts[context.path] ?? 0) + 1;
  if (context.path === '/token') await sleep(setting('TOKEN_DELAY_MS', 0));
  await next();
  if (context.oidc?.params?.grant_type === 'refresh_token') await sleep(setting('ANSWER_DELAY_MS', 0));
});
provider.on('server_error', (_context, error) => console.error('server_error', error));
provider.on('grant.error', (_context, error) => console.error('grant.error', error.message, error.error_detail ?? ''));

server.on('request', provider.callback());
console.log(`ready ${issuer}`);
