// Goes through the grants of an authorization server with tokens that are bound to a key (DPoP), with oauth4webapi.
//
//   node dpop-client.mjs ISSUER CLIENT_ID
//
// What a person has to do is a line on stdout, and what came of it a line on stdin:
//
//   visit ADDRESS   -> the address that the browser was sent on to
//
// The last line is `done` and what was found out, as JSON. A check that fails is an exception.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline/promises';

import { SignJWT, exportJWK } from 'jose';
import * as oauth from 'oauth4webapi';

const [, , address, id] = process.argv;
const issuer = new URL(address);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const insecure = { [oauth.allowInsecureRequests]: true };
const redirect = 'http://127.0.0.1:9/callback';
const client = { client_id: id };
const none = oauth.None();
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
const algorithms = as.dpop_signing_alg_values_supported;
assert.deepEqual(algorithms, ['ES256', 'Ed25519', 'EdDSA']);

/** A code that a person gave, for one key where it is named, and the word that proves who asked for it. */
async function code(jkt) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const asked = new URL(as.authorization_endpoint);
  const fields = {
    client_id: id,
    redirect_uri: redirect,
    response_type: 'code',
    scope: 'openid credentials.read',
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...(jkt ? { dpop_jkt: jkt } : {}),
  };
  for (const [name, value] of Object.entries(fields)) asked.searchParams.set(name, value);
  console.log(`visit ${asked}`);
  const { value } = await lines.next();
  return [oauth.validateAuthResponse(as, client, new URL(value), state), verifier];
}

async function exchange([params, verifier], DPoP) {
  const options = { ...insecure, ...(DPoP ? { DPoP } : {}) };
  const answer = await oauth.authorizationCodeGrantRequest(as, client, none, params, redirect, verifier, options);
  return oauth.processAuthorizationCodeResponse(as, client, answer);
}

async function refresh(token, DPoP) {
  const options = { ...insecure, ...(DPoP ? { DPoP } : {}) };
  const answer = await oauth.refreshTokenGrantRequest(as, client, none, token, options);
  return oauth.processRefreshTokenResponse(as, client, answer);
}

/** A proof made by hand, to be right or wrong. */
async function proof(keys, alg, token, more = {}) {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token));
  const claims = {
    htm: 'GET',
    htu: as.userinfo_endpoint,
    iat: Math.floor(Date.now() / 1000),
    jti: crypto.randomUUID(),
    ath: Buffer.from(hash).toString('base64url'),
    ...more,
  };
  const jwk = await exportJWK(keys.publicKey);
  return new SignJWT(claims).setProtectedHeader({ typ: 'dpop+jwt', alg, jwk }).sign(keys.privateKey);
}

async function shown(scheme, token, dpop) {
  const headers = { authorization: `${scheme} ${token}`, ...(dpop ? { dpop } : {}) };
  const answer = await fetch(as.userinfo_endpoint, { headers });
  return [answer.status, answer.headers.get('www-authenticate') ?? ''];
}

const refused = (error) => (failure) => failure.error === error || failure.cause?.[0]?.parameters?.error === error;
let renewed = 0;
for (const alg of ['ES256', 'Ed25519']) {
  const keys = await oauth.generateKeyPair(alg, { extractable: true });
  const others = await oauth.generateKeyPair(alg, { extractable: true });
  const [own, other] = [oauth.DPoP(client, keys), oauth.DPoP(client, others)];
  const given = await exchange(await code(await own.calculateThumbprint()), own);
  assert.equal(given.token_type, 'dpop');
  assert.equal(oauth.getValidatedIdTokenClaims(given).aud, id);

  const token = given.access_token;
  const about = await oauth.userInfoRequest(as, client, token, { ...insecure, DPoP: own });
  assert.equal(about.status, 200);
  const asked = await oauth.introspectionRequest(as, client, none, token, insecure);
  const told = await oauth.processIntrospectionResponse(as, client, asked);
  assert.equal(told.cnf.jkt, await own.calculateThumbprint());
  assert.equal(told.token_type, 'DPoP');

  // Who has the token alone has nothing.
  for (const [scheme, dpop, error] of [
    ['Bearer', undefined, 'invalid_token'],
    ['Bearer', await proof(keys, alg, token), 'invalid_token'],
    ['DPoP', undefined, 'invalid_dpop_proof'],
    ['DPoP', await proof(others, alg, token), 'invalid_token'],
    ['DPoP', await proof(keys, alg, 'another'), 'invalid_dpop_proof'],
    ['DPoP', await proof(keys, alg, token, { htm: 'POST' }), 'invalid_dpop_proof'],
    ['DPoP', await proof(keys, alg, token, { htu: as.token_endpoint }), 'invalid_dpop_proof'],
    ['DPoP', await proof(keys, alg, token, { iat: Math.floor(Date.now() / 1000) - 120 }), 'invalid_dpop_proof'],
    ['DPoP', 'a.b.c', 'invalid_dpop_proof'],
  ]) {
    const [status, challenge] = await shown(scheme, token, dpop);
    assert.equal(status, 401, `${scheme} ${dpop}`);
    assert.ok(challenge.startsWith('DPoP ') && challenge.includes(`error="${error}"`), challenge);
    assert.ok(challenge.includes('algs="ES256 Ed25519 EdDSA"'), challenge);
  }
  // A proof is good once, of as many as come at once, and for any query.
  const one = await proof(keys, alg, token);
  const statuses = await Promise.all(Array.from({ length: 8 }, () => shown('DPoP', token, one)));
  assert.equal(statuses.filter(([status]) => status === 200).length, 1, JSON.stringify(statuses));
  assert.equal((await shown('dpop', token, await proof(keys, alg, token, { htu: `${as.userinfo_endpoint}?a=b` })))[0], 200);

  // A refresh token is bound as well; who tries it without the key spends nothing.
  await assert.rejects(refresh(given.refresh_token), refused('invalid_grant'));
  await assert.rejects(refresh(given.refresh_token, other), refused('invalid_grant'));
  const next = await refresh(given.refresh_token, own);
  assert.equal(next.token_type, 'dpop');
  assert.equal((await oauth.userInfoRequest(as, client, next.access_token, { ...insecure, DPoP: own })).status, 200);
  assert.equal((await shown('Bearer', next.access_token))[0], 401);
  renewed += 1;
  // Who lost that answer gets it once more, by the same key alone.
  await assert.rejects(refresh(given.refresh_token), refused('invalid_grant'));
  await assert.rejects(refresh(given.refresh_token, other), refused('invalid_grant'));
  const again = await refresh(given.refresh_token, own);
  assert.deepEqual([again.access_token, again.refresh_token, again.token_type], [next.access_token, next.refresh_token, 'dpop']);

  // A code that was asked for with a key is given for no other, and for none neither.
  await assert.rejects(exchange(await code(await own.calculateThumbprint()), other), refused('invalid_grant'));
  await assert.rejects(exchange(await code(await own.calculateThumbprint())), refused('invalid_grant'));
}

// Without a key everything is as ever, and a token that is bound to none is no proof's.
const keys = await oauth.generateKeyPair('ES256', { extractable: true });
const plain = await exchange(await code());
assert.equal(plain.token_type, 'bearer');
assert.equal((await shown('Bearer', plain.access_token))[0], 200);
const [status] = await shown('DPoP', plain.access_token, await proof(keys, 'ES256', plain.access_token));
assert.equal(status, 401);
console.log(`done ${JSON.stringify({ renewed })}`);
process.exit(0);
