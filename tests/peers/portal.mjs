// The login page and what comes after it, as the members' portal does it, without a browser: `node portal.mjs`.
//
// Sends the person to the provider with PKCE, types in the kennitala, follows the redirects back, hands the code to
// handleKenniAuth, signs in with the custom token through Google's own client, calls verifyMembership through Google's own
// client, refreshes its ID token. Prints one JSON object: what the portal then knows, or where it failed.
//
// From the environment: ISSUER, CLIENT (JSON: id, redirectUri), LOGIN_URL, VERIFY_URL, AUTH_EMULATOR, PROJECT, KENNITALA,
// NONCE (optional), FORWARDED_FOR (optional).
import { createHash, randomBytes } from 'node:crypto';
import { initializeApp, deleteApp } from 'firebase/app';
import { connectAuthEmulator, getAuth, signInWithCustomToken } from 'firebase/auth';
import { getFunctions, httpsCallableFromURL } from 'firebase/functions';

const env = process.env;
const client = JSON.parse(env.CLIENT);
const jar = new Map();

function keepCookies(reply) {
  for (const cookie of reply.headers.getSetCookie()) {
    const [pair] = cookie.split(';');
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    value ? jar.set(name, value) : jar.delete(name);
  }
}

async function visit(url, form) {
  const reply = await fetch(url, {
    method: form ? 'POST' : 'GET', redirect: 'manual', body: form && new URLSearchParams(form),
    headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
  });
  keepCookies(reply);
  return reply;
}

// Follows redirects and fills in forms until the provider sends the browser back to the portal.
async function walk(url) {
  for (let steps = 0; steps < 20; steps++) {
    if (url.startsWith(client.redirectUri)) return new URL(url).searchParams;
    let reply = await visit(url);
    if (reply.status === 200) {
      const page = await reply.text();
      const action = /<form[^>]*action="([^"]+)"/.exec(page);
      const prompt = /name="prompt" value="([^"]+)"/.exec(page);
      if (!action || !prompt) throw new Error(`no form at ${url}: ${page.slice(0, 500)}`);
      reply = await visit(new URL(action[1], url).href, { prompt: prompt[1], login: env.KENNITALA, password: 'any' });
    }
    const next = reply.headers.get('location');
    if (!next) throw new Error(`status ${reply.status} at ${url}: ${(await reply.text()).slice(0, 500)}`);
    url = new URL(next, url).href;
  }
  throw new Error('the provider never sent the browser back');
}

async function authorize() {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(32).toString('hex');
  const query = new URLSearchParams({
    client_id: client.id, redirect_uri: client.redirectUri, response_type: 'code', state,
    scope: 'openid profile national_id email phone_number', code_challenge_method: 'S256',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), ...(env.NONCE ? { nonce: env.NONCE } : {}),
  });
  const back = await walk(`${env.ISSUER}/oidc/auth?${query}`);
  if (back.get('state') !== state) throw new Error(`not our state: ${back}`);
  return { kenniAuthCode: back.get('code'), pkceCodeVerifier: verifier, state, ...(env.NONCE ? { nonce: env.NONCE } : {}) };
}

async function handleKenniAuth(body) {
  const reply = await fetch(env.LOGIN_URL, {
    method: 'POST', body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', 'X-Request-ID': randomBytes(16).toString('hex'),
      ...(env.FORWARDED_FOR ? { 'X-Forwarded-For': env.FORWARDED_FOR } : {}) },
  });
  return { status: reply.status, ...await reply.json() };
}

async function signInAndVerify(login) {
  const app = initializeApp({ apiKey: 'any', projectId: env.PROJECT });
  try {
    const auth = getAuth(app);
    connectAuthEmulator(auth, `http://${env.AUTH_EMULATOR}`, { disableWarnings: true });
    const { user } = await signInWithCustomToken(auth, login.customToken);
    const before = await user.getIdTokenResult();
    const verify = httpsCallableFromURL(getFunctions(app), env.VERIFY_URL);
    const { data } = await verify();
    const after = await user.getIdTokenResult(true);
    return { uid: user.uid, before: before.claims, membership: data, after: after.claims, idToken: after.token };
  } finally {
    await deleteApp(app);
  }
}

try {
  const request = await authorize();
  const login = await handleKenniAuth(request);
  const again = await handleKenniAuth(request);
  const session = login.customToken ? await signInAndVerify(login) : {};
  console.log(JSON.stringify({ login, again, ...session }));
} catch (error) {
  console.log(JSON.stringify({ failed: `${error.code || ''} ${error.message}`, stack: error.stack }));
}
process.exit(0);
