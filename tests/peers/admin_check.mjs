// Google's firebase-admin looks at what we made: `node admin_check.mjs`, one JSON object on stdin and one on stdout.
//
// In: idToken, customToken, uid, publicKey (PEM). FIREBASE_AUTH_EMULATOR_HOST and PROJECT in the environment. Told to use an
// emulator, firebase-admin takes no signed ID tokens; JWKS_URL says that these are signed, and another library checks them.
import { generateKeyPairSync } from 'node:crypto';
import { cert, initializeApp } from 'firebase-admin/app';
import { getAuth } from 'firebase-admin/auth';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, importSPKI, jwtVerify } from 'jose';

const input = JSON.parse(await new Promise(resolve => {
  let text = '';
  process.stdin.on('data', piece => { text += piece; }).on('end', () => resolve(text));
}));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const app = initializeApp({
  credential: cert({ projectId: process.env.PROJECT, clientEmail: 'google@example.is',
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) }),
  projectId: process.env.PROJECT,
});
const auth = getAuth(app);
const claims = decodeJwt(input.customToken).claims;
const verified = await jwtVerify(input.customToken, await importSPKI(input.publicKey, 'RS256'), {
  audience: 'https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit', algorithms: ['RS256'] });
// Under the emulator Google's own does not sign, so its payload is compared and not its header.
const theirs = decodeJwt(await auth.createCustomToken(input.uid, claims));
const user = await auth.getUser(input.uid);
let idToken;
try {
  if (process.env.JWKS_URL) {
    const { payload } = await jwtVerify(input.idToken, createRemoteJWKSet(new URL(process.env.JWKS_URL)), {
      algorithms: ['RS256'], audience: process.env.PROJECT, issuer: `https://securetoken.google.com/${process.env.PROJECT}` });
    idToken = { ...payload, uid: payload.sub };
  } else {
    idToken = await auth.verifyIdToken(input.idToken, true);
  }
} catch (error) {
  idToken = { failed: error.message };
}
console.log(JSON.stringify({
  header: decodeProtectedHeader(input.customToken), signedClaims: verified.payload.claims,
  sameMembers: [Object.keys(theirs).sort(), Object.keys(verified.payload).sort()], sameClaims: theirs.claims,
  account: { uid: user.uid, displayName: user.displayName, customClaims: user.customClaims }, idToken,
}));
process.exit(0);
