// A certified OpenID provider in the place of Kenni: `node kenni_provider.mjs PORT`, prints its issuer when it listens.
//
// Whoever signs in gives a kennitala as the login name. PKCE with S256 is required, a code is good once. Everything about
// the protocol is the package's; only the clients and the people are ours.
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = process.env.ISSUER ?? `http://127.0.0.1:${port}`; // where it is not on this machine, as in docker-compose.yml
const client = JSON.parse(process.env.CLIENT);
const claimsInIdToken = process.env.CLAIMS_AT !== 'userinfo';

const person = number => ({
  sub: `team-${number}`, national_id: number, name: `Person ${number.slice(0, 6)}`, email: `p${number}@example.is`,
  email_verified: true, phone_number: '+354 555 1234', phone_number_verified: false,
});

const provider = new Provider(issuer, {
  clients: [{
    client_id: client.id, client_secret: client.secret, redirect_uris: [client.redirectUri], grant_types: ['authorization_code'],
    response_types: ['code'], token_endpoint_auth_method: client.authMethod ?? 'client_secret_post',
  }],
  claims: {
    openid: ['sub'], profile: ['name'], national_id: ['national_id'], email: ['email', 'email_verified'],
    phone_number: ['phone_number', 'phone_number_verified'],
  },
  scopes: ['openid', 'profile', 'national_id', 'email', 'phone_number'],
  conformIdTokenClaims: !claimsInIdToken,
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => person(id) }),
  routes: { authorization: '/oidc/auth', token: '/oidc/token', userinfo: '/oidc/me', jwks: '/oidc/jwks' },
  ttl: { AuthorizationCode: 60 },
});

provider.on('server_error', (_, error) => console.error(error));
const server = provider.listen(port, process.env.LISTEN ?? '127.0.0.1', () => console.log(issuer));
process.on('SIGTERM', () => server.close(() => process.exit(0)) || server.closeAllConnections());
