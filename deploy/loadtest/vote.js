// The same two scenes as deploy/loadtest/run, by k6, against a real deployment and an election made for it.
//
//   k6 run -e ELECTIONS_URL=https://… -e ELECTION_ID=… -e S2S_KEY_ID=events-1 -e S2S_KEY=… deploy/loadtest/vote.js
//
// setup() registers a voting token for each vote, as events does; then 300 members vote at once, and 300 a second for
// five seconds. A 503 is asked again as the portals do: twice at most, after Retry-After. The thresholds are the
// success criteria, so k6 itself leaves with 99 when one is missed. Writes result.json (or RESULT) for
// `deploy/loadtest/run --judge`. With RESULTS, a folder that outlives the run (of the job: a bucket), it stores
// cloud-TIME.json there instead and is held against the folder's cloud.json, which the first run that passes becomes.
// The election must be one for rehearsals: its votes are real rows.
import crypto from 'k6/crypto';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { sleep } from 'k6';

const HALL = 300;
const SECONDS = 5;
const RETRIES = 2;
const URL = __ENV.ELECTIONS_URL;
const BATCH = 20;

const WHERE = __ENV.WHERE || 'cloud';
const RESULTS = __ENV.RESULTS;
const MEASURE = RESULTS ? `${RESULTS}/${WHERE}.json` : __ENV.STORED;

// Where there is a stored result, its p95 counts as well: half as slow again is a failure (as in judge.py).
const stored = MEASURE ? JSON.parse(openOrEmpty(MEASURE)) : {};

function openOrEmpty(path) {
    try {
        return open(path);
    } catch (missing) {
        return '{}'; // the first run has nothing to be compared with
    }
}

function limit(scene) {
    const before = stored.scenes && stored.scenes[scene] ? stored.scenes[scene].p95_ms : Infinity;
    return Math.min(300, 1.5 * Math.max(before, 20));
}

const recorded = { burst: new Counter('recorded_burst'), rate: new Counter('recorded_rate') };
const failed = { burst: new Counter('failed_burst'), rate: new Counter('failed_rate') };
const retries = { burst: new Counter('retries_burst'), rate: new Counter('retries_rate') };
const took = { burst: new Trend('took_burst'), rate: new Trend('took_rate') };

export const options = {
    setupTimeout: '10m',
    summaryTrendStats: ['med', 'p(95)', 'max'],
    scenarios: {
        burst: { executor: 'per-vu-iterations', vus: HALL, iterations: 1, maxDuration: '60s', exec: 'burst' },
        rate: {
            executor: 'constant-arrival-rate', rate: HALL, timeUnit: '1s', duration: `${SECONDS}s`, startTime: '70s',
            preAllocatedVUs: HALL, maxVUs: 2 * HALL, exec: 'rate',
        },
    },
    thresholds: {
        took_burst: [`p(95)<${limit('burst')}`],
        took_rate: [`p(95)<${limit('rate')}`],
        failed_burst: [`count<${HALL * 0.05}`],
        failed_rate: [`count<${HALL * SECONDS * 0.05}`],
        dropped_iterations: ['count<1'],
    },
};

function signedRegistration(token) {
    const path = '/api/s2s/register-token';
    const body = JSON.stringify({ token_hash: crypto.sha256(token, 'hex'), election_id: __ENV.ELECTION_ID });
    const time = String(Math.floor(Date.now() / 1000));
    const nonce = hex(crypto.randomBytes(24));
    const text = ['POST', path, time, nonce, crypto.sha256(body, 'hex')].join('|');
    return {
        method: 'POST', url: URL + path, body,
        params: {
            headers: {
                'Content-Type': 'application/json', 'X-Key-Id': __ENV.S2S_KEY_ID, 'X-Timestamp': time, 'X-Nonce': nonce,
                'X-Signature': crypto.hmac('sha256', __ENV.S2S_KEY, text, 'base64'),
            },
        },
    };
}

function hex(bytes) {
    return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function setup() {
    for (const name of ['ELECTIONS_URL', 'ELECTION_ID', 'S2S_KEY_ID', 'S2S_KEY']) {
        if (!__ENV[name]) throw new Error(`${name} is not set`);
    }
    const tokens = Array.from({ length: HALL + HALL * SECONDS }, () => hex(crypto.randomBytes(32)));
    for (let at = 0; at < tokens.length; at += BATCH) {
        for (const reply of http.batch(tokens.slice(at, at + BATCH).map(signedRegistration))) {
            if (reply.status !== 201) throw new Error(`a token was not registered: ${reply.status}`);
        }
    }
    return { tokens };
}

function vote(scene, token) {
    const begun = Date.now();
    const key = hex(crypto.randomBytes(16));
    const params = {
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}`, 'X-Idempotency-Key': key },
        tags: { name: 'POST /api/vote' },
    };
    let reply;
    for (let attempt = 0; attempt <= RETRIES; attempt++) {
        reply = http.post(`${URL}/api/vote`, JSON.stringify({ answer: 'yes' }), params);
        if (reply.status !== 503 || attempt === RETRIES) break;
        retries[scene].add(1);
        sleep(Number(reply.headers['Retry-After'] || 1) * (1 + 0.3 * Math.random()));
    }
    took[scene].add(Date.now() - begun);
    (reply.status === 201 ? recorded : failed)[scene].add(1);
}

export function burst(data) {
    vote('burst', data.tokens[exec.scenario.iterationInTest]);
}

export function rate(data) {
    vote('rate', data.tokens[HALL + exec.scenario.iterationInTest]);
}

function passed(data) {
    return Object.values(data.metrics).every((one) => Object.values(one.thresholds || {}).every((limit) => limit.ok));
}

function total(data, name) {
    return data.metrics[name] ? data.metrics[name].values.count : 0;
}

export function handleSummary(data) {
    const scenes = {};
    for (const [scene, votes] of [['burst', HALL], ['rate', HALL * SECONDS]]) {
        const ok = total(data, `recorded_${scene}`);
        const trend = data.metrics[`took_${scene}`];
        scenes[scene] = {
            votes, recorded: ok, failed: votes - ok, retries: total(data, `retries_${scene}`),
            p95_ms: trend ? trend.values['p(95)'] : 1e9,
        };
    }
    const taken = new Date().toISOString().slice(0, 19) + 'Z';
    const text = JSON.stringify({ taken, where: WHERE, scenes, stored: null }, null, 1) + '\n';
    const files = { stdout: text, [RESULTS ? `${RESULTS}/${WHERE}-${taken}.json` : __ENV.RESULT || 'result.json']: text };
    if (RESULTS && !stored.scenes && passed(data)) files[MEASURE] = text;
    return files;
}
