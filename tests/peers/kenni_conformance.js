// openid-client, a certified relying party, signs in at the provider ISSUER names, and then asks for what a provider must
// refuse. Two providers that play the same part print the same.
//   ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, NATIONAL_ID (of somebody both know); AUTH_METHOD: client_secret_post or client_secret_basic
'use strict';

const { step, finish } = require('./transcript');

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, NATIONAL_ID } = process.env;
const basic = process.env.AUTH_METHOD === 'client_secret_basic';
const OWN = ['sub', 'at_hash'];

// Goes where a browser goes: keeps cookies, follows redirects, fills forms in (a login name, or a person's button); stops at
// the portal's address.
async function browse(url) {
  const jar = new Map();
  let next = new Request(url);
  for (let hops = 0; hops < 12; hops++) {
    const headers = new Headers(next.headers);
    headers.set('Cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '));
    const reply = await fetch(new Request(next, { headers, redirect: 'manual' }));
    for (const cookie of reply.headers.getSetCookie()) {
      const [pair] = cookie.split(';');
      jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const location = reply.headers.get('location');
    if (location && location.startsWith(REDIRECT_URI)) return new URL(location);
    if (location) {
      next = new Request(new URL(location, next.url));
      continue;
    }
    const page = await reply.text();
    if (reply.status !== 200 || !page.includes('<form')) return reply.status;
    const form = new URLSearchParams([['national_id', NATIONAL_ID], ['login', NATIONAL_ID], ['password', 'any']]);
    const action = /<form[^>]* action="([^"]*)"/.exec(page);
    for (const [, name, value] of page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"\/?>/g)) {
      form.append(name, value.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'));
    }
    next = new Request(action ? new URL(action[1], next.url) : next.url.split('?')[0], { method: 'POST', body: form });
  }
  throw new Error('too many redirects');
}

const shown = url => (typeof url === 'number' ? url
  : Object.fromEntries([...url.searchParams].map(([key, value]) => [key, { code: 'some', iss: value === ISSUER ? 'ours' : 'not ours',
    error_description: 'some' }[key] ?? value])));

async function main() {
  const client = await import('openid-client');
  const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET,
    basic ? client.ClientSecretBasic(CLIENT_SECRET) : client.ClientSecretPost(CLIENT_SECRET),
    { execute: [client.allowInsecureRequests] });
  const endpoints = config.serverMetadata();
  const scope = 'openid profile email phone_number national_id';
  const verifier = client.randomPKCECodeVerifier();
  const challenge = await client.calculatePKCECodeChallenge(verifier);

  function address(changes = {}) {
    const params = {
      client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, response_type: 'code', scope, state: 'st&te', nonce: 'n once',
      code_challenge: challenge, code_challenge_method: 'S256', ...changes,
    };
    const url = new URL(endpoints.authorization_endpoint);
    for (const [name, value] of Object.entries(params)) if (value !== null) url.searchParams.set(name, value);
    return url;
  }

  async function exchange(code, changes = {}, headers = {}) {
    const form = {
      grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier,
      ...(basic ? {} : { client_id: CLIENT_ID, client_secret: CLIENT_SECRET }), ...changes,
    };
    for (const name of Object.keys(form)) if (form[name] === null) delete form[name];
    if (basic && !headers.Authorization) {
      headers.Authorization = 'Basic ' + Buffer.from(`${encodeURIComponent(CLIENT_ID)}:${encodeURIComponent(CLIENT_SECRET)}`).toString('base64');
    }
    const reply = await fetch(endpoints.token_endpoint, { method: 'POST', body: new URLSearchParams(form), headers });
    const answer = await reply.json();
    return { status: reply.status, error: answer.error, answer };
  }
  const outcome = ({ status, error }) => [status, error];
  const newCode = async () => (await browse(address())).searchParams.get('code');

  await step('discovery', () => {
    const listed = name => [...(endpoints[name] ?? [])].sort();
    return [endpoints.issuer === ISSUER, endpoints.authorization_endpoint.startsWith(ISSUER),
      listed('response_types_supported').includes('code'), listed('code_challenge_methods_supported'),
      listed('id_token_signing_alg_values_supported').includes('RS256'), endpoints.authorization_response_iss_parameter_supported];
  });
  await step('sign in', async () => {
    const callback = await browse(address());
    const tokens = await client.authorizationCodeGrant(config, callback,
      { pkceCodeVerifier: verifier, expectedState: 'st&te', expectedNonce: 'n once', idTokenExpected: true });
    const claims = tokens.claims();
    const { exp, iat, ...rest } = claims;
    for (const name of OWN) rest[name] = typeof rest[name];
    const me = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    me.sub = typeof me.sub;
    return [shown(callback), exp - iat, { ...rest, iss: rest.iss === ISSUER }, tokens.token_type, tokens.expires_in, me];
  });
  await step('ID token header', async () => {
    const { answer } = await exchange(await newCode());
    const header = JSON.parse(Buffer.from(answer.id_token.split('.')[0], 'base64url'));
    return [header.alg, typeof header.kid, Object.keys(answer).sort()];
  });
  await step('no nonce', async () => {
    const code = (await browse(address({ nonce: null }))).searchParams.get('code');
    const { answer } = await exchange(code);
    return 'nonce' in JSON.parse(Buffer.from(answer.id_token.split('.')[1], 'base64url'));
  });

  for (const [name, changes] of Object.entries({
    'no challenge': { code_challenge: null, code_challenge_method: null }, 'plain challenge': { code_challenge_method: 'plain' },
    'challenge without its method': { code_challenge_method: null }, 'short challenge': { code_challenge: 'short' },
    'no openid scope': { scope: 'profile' }, 'other response type': { response_type: 'nonsense' },
    'unknown client': { client_id: 'other' }, 'foreign address': { redirect_uri: 'https://evil.example' },
    'no state': { state: null },
  })) {
    await step(`authorize: ${name}`, async () => shown(await browse(address(changes))));
  }

  const wrong = client.randomPKCECodeVerifier();
  for (const [name, changes] of Object.entries({
    'wrong verifier': { code_verifier: wrong }, 'no verifier': { code_verifier: null }, 'short verifier': { code_verifier: 'x' },
    'other address': { redirect_uri: 'https://evil.example' }, 'other grant type': { grant_type: 'password' },
    'unknown code': { code: 'nothing' }, ...(basic ? {} : { 'wrong secret': { client_secret: 'wrong' }, 'unknown client': { client_id: 'x' },
      'no secret': { client_secret: null } }),
  })) {
    await step(`token: ${name}`, async () => outcome(await exchange(await newCode(), changes)));
  }
  if (basic) {
    const authorization = text => ({ Authorization: 'Basic ' + Buffer.from(text).toString('base64') });
    await step('token: wrong secret', async () => outcome(await exchange(await newCode(), {}, authorization(`${encodeURIComponent(CLIENT_ID)}:wrong`))));
  }
  await step('token: a failed exchange uses the code up', async () => {
    const code = await newCode();
    await exchange(code, { code_verifier: wrong });
    return outcome(await exchange(code));
  });
  await step('token: replay, which ends the access token', async () => {
    const code = await newCode();
    const first = await exchange(code);
    const me = () => fetch(endpoints.userinfo_endpoint, { headers: { Authorization: `Bearer ${first.answer.access_token}` } });
    const before = (await me()).status;
    const second = await exchange(code);
    return [outcome(first), before, outcome(second), (await me()).status];
  });
  await step('token: JSON body', async () => {
    const reply = await fetch(endpoints.token_endpoint, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ grant_type: 'authorization_code' }),
    });
    return [reply.status, (await reply.json()).error];
  });
  await step('userinfo: wrong token', async () => {
    const reply = await fetch(endpoints.userinfo_endpoint, { headers: { Authorization: 'Bearer wrong' } });
    return [reply.status, (await reply.json()).error];
  });
  finish();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
