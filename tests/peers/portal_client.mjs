// Runs deploy/portal/ekklesia-client.js for a test: `node portal_client.mjs < JOB`.
//
// JOB is one JSON object: baseUrl, headers, calls: [{method, path, body, act}], parallel, attemptTimeoutMs. Prints one JSON array: for
// each call {body} or {error: {status, unknown, retryAfterS, attempts, act, message}}, and when each attempt began (ms).
import { readFileSync } from 'node:fs';
import { createClient, newAct } from '../../deploy/portal/ekklesia-client.js';

const job = JSON.parse(readFileSync(0, 'utf8'));
const acts = new Map(); // a name of the test's for an act, so that two calls can share one

async function run(call) {
  const began = [];
  const client = createClient({
    baseUrl: job.baseUrl, headers: () => ({ ...job.headers, ...call.headers }), attemptTimeoutMs: job.attemptTimeoutMs,
    fetch: (...given) => { began.push(Math.round(performance.now())); return fetch(...given); },
  });
  if (call.act && !acts.has(call.act)) acts.set(call.act, newAct());
  try {
    const body = await client.request(call.method, call.path, call.body, { act: acts.get(call.act) });
    return { body, began };
  } catch (error) {
    if (error.name !== 'ServiceError') throw error;
    const { status, unknown, retryAfterS, attempts, act, message } = error;
    return { error: { status, unknown, retryAfterS, attempts, act, message, body: error.body }, began };
  }
}

const results = [];
if (job.parallel) results.push(...await Promise.all(job.calls.map(run)));
else for (const call of job.calls) results.push(await run(call));
process.stdout.write(JSON.stringify(results));
