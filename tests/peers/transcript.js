// What the conformance scripts share: a list of named steps, each with its outcome in a form that two servers can
// agree on. Times, random ids and transaction ids are replaced by what they stand for; members are sorted.
'use strict';

const steps = [];

function canonical(value) {
  if (value === undefined) return { $: 'undefined' };
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') {
    return Number.isFinite(value) ? (Object.is(value, -0) ? 0 : value) : { $: String(value) };
  }
  if (typeof value === 'bigint') return { $: `int ${value}` };
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value.toMillis === 'function') return { $time: fixed.get(value.toMillis()) ?? 'some' };
  if (typeof value.path === 'string' && typeof value.firestore === 'object') return { $ref: value.path };
  if (typeof value.latitude === 'number') return { $point: [value.latitude, value.longitude] };
  const result = {};
  for (const key of Object.keys(value).sort()) result[key] = canonical(value[key]);
  return result;
}

// Times that a script wrote itself are compared; all others are the server's.
const fixed = new Map();
function fixTime(date) {
  fixed.set(date.getTime(), date.toISOString());
  return date;
}

function failure(error) {
  if (error && error.code !== undefined) return { error: error.code };
  return { thrown: String(error && error.message) };
}

const STEP_LIMIT_MS = 30000;

function bounded(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), STEP_LIMIT_MS);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// Runs one step and notes what came of it; the value goes on to the caller, undefined after a failure.
async function step(name, run) {
  try {
    const value = await bounded(run());
    steps.push([name, canonical(value)]);
    return value;
  } catch (error) {
    if (process.env.TRANSCRIPT_DEBUG) console.error(name, error);
    steps.push([name, failure(error)]);
    return undefined;
  }
}

function finish() {
  process.stdout.write(JSON.stringify(steps, null, 1) + '\n');
  process.exit(0);
}

module.exports = { step, finish, fixTime };
