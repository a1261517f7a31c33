// Google's own Firestore client runs every kind of operation over REST against the server that
// FIRESTORE_EMULATOR_HOST names, and prints what it got. Two servers that play the same part print the same.
'use strict';

const { Firestore, FieldValue, FieldPath, Timestamp, GeoPoint, Filter } = require('@google-cloud/firestore');
// The very copy that the client's transport uses: another version would report errors in another form.
const gax = require.resolve('google-gax', { paths: [require.resolve('@google-cloud/firestore')] });
const { PassThroughClient } = require(require.resolve('google-auth-library', { paths: [gax] }));
const { step, finish, fixTime } = require('./transcript');

const projectId = process.env.PROJECT_ID || 'demo-conformance';
// Its transport would throw on HTTP errors before the client can read Google's error in them, which it is here to judge.
const authClient = new PassThroughClient({ transporterOptions: { validateStatus: () => true } });
const db = new Firestore({ projectId, preferRest: true, authClient });
const shown = snapshot => (snapshot.exists ? snapshot.data() : null);
const ids = snapshot => snapshot.docs.map(document => document.ref.path);

async function reset() {
  const host = process.env.FIRESTORE_EMULATOR_HOST;
  await fetch(`http://${host}/emulator/v1/projects/${projectId}/databases/(default)/documents`,
    { method: 'DELETE', headers: { Authorization: 'Bearer owner' } });
}

async function singleDocuments() {
  const anna = db.doc('people/anna');
  await step('get missing', async () => shown(await anna.get()));
  await step('set', async () => typeof (await anna.set({
    name: 'Anna', age: 33, share: 0.5, big: 2 ** 52, member: true, gone: null, tags: ['a', 'b', 'a'], empty: {}, none: [],
    born: Timestamp.fromDate(fixTime(new Date('1991-02-03T04:05:06.789Z'))), raw: Buffer.from([0, 1, 255]),
    friend: db.doc('people/bjarni'), home: new GeoPoint(64.1, -21.9), nan: NaN, inf: Infinity, 'odd name': { 'x.y': 1 },
    text: 'Ævar Þór "q" \\ \n ☃ 😀', old: Timestamp.fromDate(fixTime(new Date('1900-01-01T00:00:00Z'))),
  })).writeTime.toMillis());
  await step('get', async () => shown(await anna.get()));
  await step('get is typed', async () => {
    const data = (await anna.get()).data();
    return [data.born instanceof Timestamp, data.friend.path, data.home instanceof GeoPoint, Buffer.isBuffer(data.raw)];
  });
  await step('create existing', () => anna.create({ a: 1 }));
  await step('create new', async () => {
    await db.doc('people/bjarni').create({ n: 1 });
    return shown(await db.doc('people/bjarni').get());
  });
  await step('set merge', async () => {
    await anna.set({ age: 34, empty: { a: { b: 1 } }, seen: FieldValue.serverTimestamp() }, { merge: true });
    return shown(await anna.get());
  });
  await step('set merge fields', async () => {
    await anna.set({ name: 'Anna B.', age: 99, empty: { c: 2 } }, { mergeFields: ['name', 'empty.c'] });
    return shown(await anna.get());
  });
  await step('set merge deletes', async () => {
    await anna.set({ share: FieldValue.delete(), empty: { a: FieldValue.delete() } }, { merge: true });
    return shown(await anna.get());
  });
  await step('update paths', async () => {
    await anna.update({ 'empty.c': 3, 'deep.er.est': 'x', gone: FieldValue.delete() });
    await anna.update(new FieldPath('odd name', 'x.y'), 2, 'member', false);
    return shown(await anna.get());
  });
  await step('update through a scalar', async () => {
    await anna.update({ 'name.first': 'A' });
    return shown(await anna.get());
  });
  await step('update missing', () => db.doc('people/nobody').update({ a: 1 }));
  await step('update with old time', () => anna.update({ a: 1 }, { lastUpdateTime: Timestamp.fromMillis(1) }));
  await step('update with right time', async () => {
    const before = await anna.get();
    await anna.update({ right: 1 }, { lastUpdateTime: before.updateTime });
    return (await anna.get()).updateTime.isEqual(before.updateTime);
  });
  await step('write that changes nothing keeps its time', async () => {
    const before = await anna.get();
    const wrote = await anna.set({ right: 1 }, { merge: true });
    const after = await anna.get();
    return [after.updateTime.isEqual(before.updateTime), wrote.writeTime.isEqual(before.updateTime)];
  });
  await step('replace keeps create time', async () => {
    const before = await anna.get();
    await anna.set({ only: 'this' });
    const after = await anna.get();
    return [shown(after), after.createTime.isEqual(before.createTime), after.updateTime > before.updateTime];
  });
  await step('get all', async () =>
    (await db.getAll(anna, db.doc('people/nobody'), db.doc('people/bjarni'))).map(one => [one.id, shown(one)]));
  await step('get all masked', async () =>
    (await db.getAll(anna, db.doc('people/bjarni'), { fieldMask: ['n', 'nope'] })).map(shown));
  await step('delete missing', async () => typeof (await db.doc('people/nobody').delete()).writeTime);
  await step('delete missing that must exist', () => db.doc('people/nobody').delete({ exists: true }));
  await step('delete', async () => {
    await anna.delete({ exists: true });
    return shown(await anna.get());
  });
  await step('add', async () => {
    const added = await db.collection('people').add({ auto: true });
    return [added.id.length, shown(await added.get())];
  });
  await step('odd ids', async () => {
    const odd = db.doc('rate_limits/127.0.0.1:login:10m');
    await odd.set({ n: 1 });
    await db.doc('rate_limits/Ævar%20 ?#&').set({ n: 2 });
    return [ids(await db.collection('rate_limits').get()), shown(await odd.get())];
  });
  await step('reserved id', () => db.doc('people/__x__').set({ a: 1 }));
  await step('reserved field', () => db.doc('people/x').set({ __x__: 1 }));
}

async function transforms() {
  const doc = db.doc('transforms/a');
  const after = async () => shown(await doc.get());
  await step('increment absent', async () => (await doc.set({ n: FieldValue.increment(5) }), after()));
  await step('increment', async () => (await doc.update({ n: FieldValue.increment(-7) }), after()));
  await step('increment by a fraction', async () => (await doc.update({ n: FieldValue.increment(0.5) }), after()));
  await step('increment text', async () => {
    await doc.set({ n: 'x' });
    await doc.update({ n: FieldValue.increment(1) });
    return after();
  });
  await step('increment nested', async () => (await doc.update({ 'a.b.c': FieldValue.increment(2) }), after()));
  await step('increment past the end', async () => {
    await doc.set({ n: FieldValue.increment(Number.MAX_SAFE_INTEGER) });
    for (let i = 0; i < 11; i++) await doc.update({ n: FieldValue.increment(Number.MAX_SAFE_INTEGER) });
    return after();
  });
  await step('array union', async () => {
    await doc.set({ list: [1, 'a'] });
    await doc.update({ list: FieldValue.arrayUnion(1, 2, 'a', { m: 1 }, 2), other: FieldValue.arrayUnion('x') });
    return after();
  });
  await step('array remove', async () => {
    await doc.set({ list: [1, 2, 1, 'a'], text: 'x' });
    await doc.update({
      list: FieldValue.arrayRemove(1, 'a', 'none'), text: FieldValue.arrayRemove(1), absent: FieldValue.arrayRemove(1),
    });
    return after();
  });
  await step('maximum and minimum', async () => {
    await doc.set({ a: 5, b: 5, c: 'x' });
    await doc.update({
      a: FieldValue.maximum ? FieldValue.maximum(7) : 7, b: FieldValue.minimum ? FieldValue.minimum(7) : 5, c: 1,
    });
    return after();
  });
  await step('server time', async () => {
    await doc.set({ at: FieldValue.serverTimestamp(), in: { at: FieldValue.serverTimestamp() } });
    const data = await after();
    return [data.at.isEqual(data.in.at), data.at.nanoseconds % 1e6, Math.abs(data.at.toMillis() - Date.now()) < 60000];
  });
  await step('batch', async () => {
    const batch = db.batch();
    batch.set(db.doc('batch/1'), { n: 1 });
    batch.set(db.doc('batch/2'), { n: 2 });
    batch.update(db.doc('batch/1'), { n: FieldValue.increment(10) });
    batch.delete(db.doc('batch/2'));
    batch.create(db.doc('batch/3'), { n: 3 });
    const results = await batch.commit();
    return [results.length, (await db.collection('batch').get()).docs.map(one => [one.id, one.data()])];
  });
  await step('batch is atomic', async () => {
    const batch = db.batch();
    batch.set(db.doc('batch/9'), { n: 9 });
    batch.create(db.doc('batch/1'), { n: 1 });
    await batch.commit().catch(error => step('batch refused', () => { throw error; }));
    return shown(await db.doc('batch/9').get());
  });
  await step('empty batch', async () => (await db.batch().commit()).length);
}

const VALUES = {
  null: null, false: false, true: true, nan: NaN, minus: -3, three: 3, 'three.0': 3.0, half: 3.5, time: Timestamp.fromMillis(0),
  later: Timestamp.fromMillis(1), text: 'abc', textAE: 'Æ', emoji: '😀', bytes: Buffer.from([1]), 'bytes long': Buffer.from([1, 0]),
  ref: db.doc('a/b'), refDeep: db.doc('a/b/c/d'), point: new GeoPoint(1, 2), array: [1, 'x'], arrayShort: [1], map: { q: 1 },
  mapOther: { a: 9 }, mapEmpty: {}, arrayEmpty: [],
};

async function queries() {
  const all = db.collection('values');
  const batch = db.batch();
  Object.entries(VALUES).forEach(([id, v], k) => batch.set(all.doc(id), { v, k, even: k % 2 === 0, in: { k } }));
  batch.set(all.doc('without'), { k: 1000 });
  await batch.commit();
  const query = (name, make) => step('query ' + name, async () => ids(await make(all).get()));

  await query('all', q => q);
  await query('order', q => q.orderBy('v'));
  await query('order desc', q => q.orderBy('v', 'desc'));
  await query('two orders', q => q.orderBy('even', 'desc').orderBy('k'));
  await query('order nested', q => q.orderBy('in.k').limit(2));
  await query('order absent', q => q.orderBy('nope'));
  await query('limit offset', q => q.orderBy('k').offset(2).limit(3));
  await query('limit to last', q => q.orderBy('k').limitToLast(3));
  for (const [name, v] of Object.entries(VALUES)) {
    for (const op of ['==', '!=', '<', '<=', '>', '>=']) {
      if (v === null || Number.isNaN(v)) if (op !== '==' && op !== '!=') continue;
      await query(`v ${op} ${name}`, q => q.where('v', op, v));
    }
  }
  await query('in', q => q.where('v', 'in', [3, 'abc', true]));
  await query('in with null', q => q.where('v', 'in', [null, 3]));
  await query('not in', q => q.where('v', 'not-in', [3, 'abc']));
  await query('not in with null', q => q.where('v', 'not-in', [null, 3]));
  await query('array contains', q => q.where('v', 'array-contains', 'x'));
  await query('array contains any', q => q.where('v', 'array-contains-any', ['x', 7]));
  await query('and', q => q.where('k', '>', 3).where('k', '<=', 6));
  await query('and of two fields', q => q.where('even', '==', true).where('k', '>', 10));
  await query('or', q => q.where(Filter.or(Filter.where('k', '==', 2), Filter.where('v', '==', 'abc'))));
  await query('or of ands', q => q.where(Filter.or(
    Filter.and(Filter.where('k', '>', 1), Filter.where('k', '<', 4)), Filter.where('k', '==', 9))));
  await query('two inequalities', q => q.where('k', '>', 4).where('v', '<', 'zz'));
  await query('inequality ordered by another', q => q.where('v', '>', 0).orderBy('k', 'desc'));
  await query('id ==', q => q.where(FieldPath.documentId(), '==', 'map'));
  await query('id in', q => q.where(FieldPath.documentId(), 'in', ['map', 'text', 'nope']));
  await query('id >', q => q.where(FieldPath.documentId(), '>', 'text'));
  await query('order by id', q => q.orderBy(FieldPath.documentId()).limit(3));
  await query('start at', q => q.orderBy('k').startAt(20));
  await query('start after, end before', q => q.orderBy('k').startAfter(3).endBefore(7));
  await query('end at', q => q.orderBy('k').endAt(2));
  await query('start at with a name', q => q.orderBy('even').orderBy(FieldPath.documentId()).startAt(true, 'null').limit(3));
  await step('query start after a document', async () => {
    const from = await all.doc('text').get();
    return ids(await all.orderBy('k').startAfter(from).limit(2).get());
  });
  await step('query select', async () => (await all.where('k', '<', 2).select('k', 'in.k').get()).docs.map(d => d.data()));
  await step('query ids only', async () => (await all.limit(2).select().get()).docs.map(d => d.data()));
  await step('query empty', async () => (await db.collection('nothing').get()).size);
  await step('count', async () => (await all.count().get()).data());
  await step('count of a query', async () => (await all.where('even', '==', true).limit(5).count().get()).data());
  await step('cursor with too many values', () => all.orderBy('k').startAt(1).get().then(() => 0));
}

async function collections() {
  const batch = db.batch();
  for (const path of ['a/1/sub/x', 'a/1/sub/y', 'a/2/sub/z', 'b/1/sub/x', 'b/1/sub/x/sub/deep', 'sub/top']) {
    batch.set(db.doc(path), { p: path });
  }
  batch.set(db.doc('a/2'), {});
  await batch.commit();
  await step('collection group', async () => ids(await db.collectionGroup('sub').get()));
  await step('collection group filtered', async () => ids(await db.collectionGroup('sub').where('p', '>', 'b').get()));
  await step('collection group paged', async () =>
    ids(await db.collectionGroup('sub').orderBy(FieldPath.documentId()).startAfter('a/2/sub/z').get()));
  await step('subcollection', async () => ids(await db.collection('b/1/sub').get()));
  await step('list documents', async () => (await db.collection('a').listDocuments()).map(one => one.path));
  await step('list collections', async () => (await db.listCollections()).map(one => one.path).sort());
  await step('list collections below', async () => (await db.doc('b/1/sub/x').listCollections()).map(one => one.path));
  await step('recursive delete', async () => {
    await db.recursiveDelete(db.collection('b'));
    return ids(await db.collectionGroup('sub').get());
  });
}

async function transactions() {
  const counter = db.doc('tx/counter');
  await counter.set({ n: 0 });
  await step('transaction', async () => {
    const seen = await db.runTransaction(async tx => {
      const before = await tx.get(counter);
      tx.update(counter, { n: before.data().n + 1 });
      tx.create(db.doc('tx/made'), { by: 'transaction' });
      return before.data().n;
    });
    return [seen, shown(await counter.get()), shown(await db.doc('tx/made').get())];
  });
  await step('transaction with a query', async () => db.runTransaction(async tx => {
    const found = await tx.get(db.collection('tx').where('n', '>', 0));
    tx.set(db.doc('tx/found'), { count: found.size });
    return ids(found);
  }));
  await step('transaction that throws', async () => {
    await db.runTransaction(async tx => {
      await tx.get(counter);
      tx.update(counter, { n: 1000 });
      throw new Error('no');
    }).catch(error => error.message);
    return shown(await counter.get());
  });
  await step('transaction refused by a precondition', () => db.runTransaction(async tx => {
    await tx.get(counter);
    tx.create(counter, {});
  }));
  await step('read-only transaction', async () => db.runTransaction(
    async tx => shown(await tx.get(counter)), { readOnly: true }));
  await step('transaction without reads', async () => {
    await db.runTransaction(async tx => { tx.set(db.doc('tx/blind'), { a: 1 }); });
    return shown(await db.doc('tx/blind').get());
  });
  await step('four at once', async () => {
    await counter.set({ n: 0 });
    await Promise.all([1, 2, 3, 4].map(() => db.runTransaction(async tx => {
      const before = await tx.get(counter);
      tx.update(counter, { n: before.data().n + 1 });
    }, { maxAttempts: 20 })));
    return shown(await counter.get());
  });
}

async function bulk() {
  await step('bulk writer', async () => {
    const writer = db.bulkWriter();
    const outcomes = [];
    const note = (name, promise) => promise.then(() => outcomes.push([name, 'good']), error => outcomes.push([name, error.code]));
    writer.onWriteError(() => false);
    for (let i = 0; i < 45; i++) note(`set ${i}`, writer.set(db.doc(`bulk/${i}`), { i }));
    note('create', writer.create(db.doc('bulk/new'), { a: 1 }));
    await writer.flush();
    note('create again', writer.create(db.doc('bulk/new'), { a: 1 }));
    note('update missing', writer.update(db.doc('bulk/none'), { a: 1 }));
    note('delete', writer.delete(db.doc('bulk/0')));
    note('delete that must exist', writer.delete(db.doc('bulk/nope'), { exists: true }));
    note('transform', writer.update(db.doc('bulk/1'), { i: FieldValue.increment(10) }));
    await writer.close();
    return [outcomes.sort(), (await db.collection('bulk').count().get()).data(), shown(await db.doc('bulk/1').get())];
  });
}

async function main() {
  await reset();
  await singleDocuments();
  await transforms();
  await queries();
  await collections();
  await transactions();
  await bulk();
  await reset();
  finish();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
