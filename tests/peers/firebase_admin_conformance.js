// Google's own Admin SDK runs every account operation we use against the server that FIREBASE_AUTH_EMULATOR_HOST names,
// a browser's calls in between, and prints what it got. Two servers that play the same part print the same.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const { initializeApp } = require('firebase-admin/app');
const { getAuth } = require('firebase-admin/auth');
const { step, finish } = require('./transcript');

const projectId = process.env.PROJECT_ID;
const host = process.env.FIREBASE_AUTH_EMULATOR_HOST;
const serviceAccount = JSON.parse(fs.readFileSync(process.env.GOOGLE_APPLICATION_CREDENTIALS, 'utf8'));
const auth = getAuth(initializeApp({ projectId }));

const AUDIENCE = 'https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit';
const MADE_UP = ['metadata', 'tokensValidAfterTime'];

// A user record without what no two servers can agree on.
function shown(user) {
  const record = user.toJSON();
  for (const name of MADE_UP) record[name] = record[name] ? 'some' : 'none';
  if (/^[A-Za-z0-9]{28}$/.test(record.uid)) record.uid = 'made up';
  return record;
}

// What the SDK itself would sign; with an emulator's address set it would leave the signature out.
function customToken(uid, claims) {
  const now = Math.floor(Date.now() / 1000);
  const encode = part => Buffer.from(JSON.stringify(part)).toString('base64url');
  const body = {
    aud: AUDIENCE, iat: now, exp: now + 3600, iss: serviceAccount.client_email, sub: serviceAccount.client_email, uid,
    ...(claims ? { claims } : {}),
  };
  const signed = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(body)}`;
  return `${signed}.${crypto.sign('sha256', Buffer.from(signed), serviceAccount.private_key).toString('base64url')}`;
}

async function browser(path, body, form) {
  const reply = await fetch(`http://${host}/${path}?key=any`, {
    method: 'POST',
    headers: { 'Content-Type': form ? 'application/x-www-form-urlencoded' : 'application/json' },
    body: form ? new URLSearchParams(body) : JSON.stringify(body),
  });
  const answer = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(answer.error.message), { code: answer.error.message.split(' ')[0] });
  return answer;
}

const signIn = (uid, claims) => browser('identitytoolkit.googleapis.com/v1/accounts:signInWithCustomToken',
  { token: customToken(uid, claims), returnSecureToken: true });
const refresh = token => browser('securetoken.googleapis.com/v1/token',
  { grant_type: 'refresh_token', refresh_token: token }, true);

function claimsOf(token) {
  const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  for (const name of ['iat', 'exp', 'auth_time']) claims[name] = typeof claims[name];
  return claims;
}

async function accounts() {
  await step('create made up', async () => shown(await auth.createUser({ displayName: 'Enginn' })));
  await step('create', async () => shown(await auth.createUser({
    uid: 'anna', displayName: 'Anna', email: 'Anna@Example.is', emailVerified: true, phoneNumber: '+3545550001',
    photoURL: 'http://example.is/anna.png',
  })));
  await step('create again', () => auth.createUser({ uid: 'anna' }));
  await step('create with a taken e-mail', () => auth.createUser({ uid: 'x', email: 'anna@example.is' }));
  await step('create with a taken phone number', () => auth.createUser({ uid: 'x', phoneNumber: '+3545550001' }));
  await step('create disabled', async () => shown(await auth.createUser({ uid: 'bjarni', disabled: true })));
  await step('get', async () => shown(await auth.getUser('anna')));
  await step('get unknown', () => auth.getUser('nobody'));
  await step('get by e-mail', async () => shown(await auth.getUserByEmail('anna@example.is')));
  await step('get by unknown e-mail', () => auth.getUserByEmail('nobody@example.is'));
  await step('get by phone number', async () => shown(await auth.getUserByPhoneNumber('+3545550001')));
  await step('get many', async () => {
    const found = await auth.getUsers([{ uid: 'anna' }, { uid: 'nobody' }, { uid: 'bjarni' }]);
    return [found.users.map(shown), found.notFound];
  });
  await step('update', async () => shown(await auth.updateUser('anna', {
    displayName: 'Anna B.', email: 'anna.b@example.is', disabled: false, phoneNumber: '+3545550002',
  })));
  await step('update takes away', async () => shown(await auth.updateUser('anna', {
    displayName: null, photoURL: null, phoneNumber: null,
  })));
  await step('update unknown', () => auth.updateUser('nobody', { displayName: 'x' }));
  await step('list', async () => {
    const listed = await auth.listUsers(1000);
    return [listed.users.map(shown).sort((a, b) => (a.uid < b.uid ? -1 : 1)), listed.pageToken];
  });
  await step('list by pages', async () => {
    const first = await auth.listUsers(2);
    const rest = await auth.listUsers(2, first.pageToken);
    return [first.users.length, typeof first.pageToken, rest.users.length, typeof rest.pageToken];
  });
}

async function claims() {
  await step('set claims', async () => {
    await auth.setCustomUserClaims('anna', { roles: ['admin'], isMember: true, kennitala: '0101302989' });
    return shown(await auth.getUser('anna'));
  });
  await step('replace claims', async () => {
    await auth.setCustomUserClaims('anna', { roles: ['member'] });
    return (await auth.getUser('anna')).customClaims;
  });
  // The SDK counts as well, so its limit is not what is asked here.
  await step('claims too large', () => auth.setCustomUserClaims('anna', { a: 'x'.repeat(1000) }));
  await step('no claims', async () => {
    await auth.setCustomUserClaims('bjarni', null);
    return (await auth.getUser('bjarni')).customClaims;
  });
}

async function tokens() {
  const signedIn = await step('sign in', async () => {
    const answer = await signIn('anna', { login: 'kenni' });
    signIn.last = answer;
    return [Object.keys(answer).sort(), answer.isNewUser, answer.expiresIn, claimsOf(answer.idToken)];
  });
  await step('signed in', () => signedIn.length);
  await step('sign in new', async () => {
    const answer = await signIn('new person');
    return [answer.isNewUser, claimsOf(answer.idToken), shown(await auth.getUser('new person'))];
  });
  await step('sign in disabled', () => signIn('bjarni'));
  await step('refresh', async () => {
    const answer = await refresh(signIn.last.refreshToken);
    return [Object.keys(answer).sort(), answer.expires_in, answer.token_type, answer.user_id,
      typeof answer.project_id, claimsOf(answer.id_token)];
  });
  await step('claims appear with the refresh', async () => {
    await auth.setCustomUserClaims('anna', { roles: ['admin'], isMember: true });
    return claimsOf((await refresh(signIn.last.refreshToken)).id_token);
  });
  await step('revoke', async () => {
    await auth.revokeRefreshTokens('anna');
    const after = Date.parse((await auth.getUser('anna')).tokensValidAfterTime);
    return Math.abs(after - Date.now()) < 60000;
  });
  await step('delete', async () => {
    await auth.deleteUser('anna');
    return auth.getUsers([{ uid: 'anna' }]).then(found => found.notFound);
  });
  await step('delete again', () => auth.deleteUser('anna'));
}

async function reset() {
  await fetch(`http://${host}/emulator/v1/projects/${projectId}/accounts`,
    { method: 'DELETE', headers: { Authorization: 'Bearer owner' } });
}

async function main() {
  await reset();
  await accounts();
  await claims();
  await tokens();
  await reset();
  finish();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
