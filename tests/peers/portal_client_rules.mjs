// The rules of deploy/portal/ekklesia-client.js without a network or a clock: `node --test portal_client_rules.mjs`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, newAct, retryAfterSeconds, RETRY_WITHIN_MS } from '../../deploy/portal/ekklesia-client.js';

// What fetch() would give, one entry for each attempt; 'lost' is a network failure.
function scene(answers, { random = 0.5, headers } = {}) {
  const sent = [], slept = [];
  let at = 0;
  const client = createClient({
    baseUrl: 'http://service/', headers, now: () => at, random: () => random,
    sleep: async (ms) => { slept.push(ms); at += ms; },
    fetch: async (url, init) => {
      sent.push({ url, ...init });
      const answer = answers[Math.min(sent.length, answers.length) - 1];
      at += answer.tookMs ?? 0;
      if (answer === 'lost') throw new TypeError('fetch failed');
      const text = 'text' in answer ? answer.text : JSON.stringify(answer.body ?? {});
      return new Response(text, { status: answer.status, headers: answer.headers });
    },
  });
  return { client, sent, slept };
}

test('a good answer is given at once, with one act on the wire', async () => {
  const { client, sent, slept } = scene([{ status: 201, body: { success: true } }]);
  assert.deepEqual(await client.post('/api/vote', { answer: 'yes' }), { success: true });
  assert.equal(sent.length, 1);
  assert.deepEqual(slept, []);
  assert.equal(sent[0].url, 'http://service/api/vote');
  assert.match(sent[0].headers['X-Idempotency-Key'], /^[0-9a-f]{32}$/);
  assert.equal(sent[0].headers['Content-Type'], 'application/json');
});

test('busy, then lost, then good: three attempts of one act, headers asked anew', async () => {
  let token = 0;
  const { client, sent, slept } = scene([{ status: 503 }, 'lost', { status: 201 }],
    { headers: async () => ({ Authorization: `Bearer ${++token}` }) });
  await client.post('/x', {});
  assert.equal(new Set(sent.map((s) => s.headers['X-Idempotency-Key'])).size, 1);
  assert.deepEqual(sent.map((s) => s.headers.Authorization), ['Bearer 1', 'Bearer 2', 'Bearer 3']);
  assert.deepEqual(slept, [125, 250]); // half of 250 and of 500
});

test('never more than two repeats', async () => {
  const { client, sent } = scene([{ status: 503 }]);
  await assert.rejects(client.post('/x', {}), { status: 503, attempts: 3, unknown: false });
  assert.equal(sent.length, 3);
});

for (const status of [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 504]) {
  test(`${status} is final`, async () => {
    const { client, sent } = scene([{ status, headers: { 'Retry-After': '1' }, body: { message: 'why' } }]);
    await assert.rejects(client.post('/x', {}), { status, attempts: 1, message: 'why', retryAfterS: 1, unknown: false });
    assert.equal(sent.length, 1);
  });
}

test('Retry-After is the least pause, in header or body', async () => {
  for (const answer of [{ status: 503, headers: { 'Retry-After': '1' } }, { status: 503, body: { retryAfter: 1 } }]) {
    const { client, slept } = scene([answer, { status: 200 }], { random: 0.1 });
    await client.get('/x');
    assert.deepEqual(slept, [1025]);
  }
});

test('a Retry-After beyond the three seconds ends the call at once', async () => {
  const { client, sent, slept } = scene([{ status: 503, headers: { 'Retry-After': '10' } }]);
  await assert.rejects(client.post('/x', {}), { status: 503, retryAfterS: 10, attempts: 1 });
  assert.equal(sent.length, 1);
  assert.deepEqual(slept, []);
});

test('no repeat begins after three seconds', async () => {
  const { client, sent } = scene([{ status: 503, tookMs: RETRY_WITHIN_MS + 1 }]);
  await assert.rejects(client.post('/x', {}), { attempts: 1 });
  assert.equal(sent.length, 1);
});

test('a lost write is unknown until a definite answer comes; a lost read is not', async () => {
  await assert.rejects(scene(['lost']).client.post('/x', {}), { status: 0, unknown: true, attempts: 3 });
  await assert.rejects(scene(['lost', { status: 503 }]).client.post('/x', {}), { status: 503, unknown: true });
  await assert.rejects(scene(['lost', { status: 409 }]).client.post('/x', {}), { status: 409, unknown: false });
  await assert.rejects(scene(['lost']).client.get('/x'), { status: 0, unknown: false });
});

test('the act of the error names the same act again', async () => {
  const first = scene(['lost']);
  const error = await first.client.post('/x', {}).catch((caught) => caught);
  const second = scene([{ status: 201 }]);
  await second.client.post('/x', {}, { act: error.act });
  assert.equal(second.sent[0].headers['X-Idempotency-Key'], first.sent[0].headers['X-Idempotency-Key']);
});

test('reads carry no act, and nothing is cached or redirected', async () => {
  const { client, sent } = scene([{ status: 200 }]);
  await client.get('/x');
  assert.equal(sent[0].headers['X-Idempotency-Key'], undefined);
  assert.equal(sent[0].body, undefined);
  assert.deepEqual([sent[0].cache, sent[0].credentials, sent[0].redirect], ['no-store', 'omit', 'error']);
});

test('an aborted call is not repeated', async () => {
  const stop = new AbortController();
  stop.abort();
  const { client, sent } = scene(['lost']);
  await assert.rejects(client.get('/x', { signal: stop.signal }), { attempts: 1 });
  assert.equal(sent.length, 1);
});

test('an answer that is no JSON is still an answer', async () => {
  await assert.rejects(scene([{ status: 500, text: '<html>' }]).client.get('/x'), { status: 500, body: null });
  assert.equal(await scene([{ status: 204, text: null }]).client.get('/x'), null);
});

test('Retry-After in its forms', () => {
  assert.equal(retryAfterSeconds('7', 0), 7);
  assert.equal(retryAfterSeconds(' 0 ', 0), 0);
  assert.equal(retryAfterSeconds('Thu, 01 Jan 1970 00:00:05 GMT', 2000), 3);
  for (const none of [null, undefined, '', 'soon', '-1', '1.5e']) assert.equal(retryAfterSeconds(none, 0), null, String(none));
});

test('acts do not repeat', () => {
  assert.equal(new Set(Array.from({ length: 1000 }, newAct)).size, 1000);
});
