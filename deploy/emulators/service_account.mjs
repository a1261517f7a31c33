// A service-account key file of our own: `node service_account.mjs FILE`. Nothing happens when it is there.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';

const path = process.argv[2];
if (!existsSync(path)) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(path, JSON.stringify({
    type: 'service_account', project_id: 'demo-ekklesia', private_key_id: 'local', client_email: 'local@demo-ekklesia.iam.gserviceaccount.com',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }), token_uri: 'http://emulators:9099/token',
  }), { mode: 0o444 }); // read by every service of the stack, whatever its user
}
