// BullMQ through the same two stages that do nothing: one producer with 50 adds in flight, a worker process each for
// `video-edit` and `video-upload`, CONCURRENCY jobs at once, finished jobs removed: what it is fastest with.
//
//   node bullmq.cjs flow      VIDEOS and AT_ONCE; prints {"rate": videos a second}, first add to last completion
//   node bullmq.cjs latency   VIDEOS adds, one every 20 ms, to an idle worker in another process; prints p50 and p99 in ms
//
// With PGHOST the processes write the rows that SubiteYa writes, by `pg`, as a careful program on BullMQ would: with a pool,
// one transaction a step, prepared statements, and the next job added after the commit.
//   producer   insert video, insert its edit task, history `uploaded`
//   a start    task -> running, video -> EDITING or PUBLISHING, history `started`
//   edit end   task -> done, video -> EDITED, insert publish task, history `done` and `edited`
//   upload end task -> done, video -> POSTED, history `done` and `posted`
// The tables have these rows' columns and the indexes that a list by user, account and status, and a look for due tasks,
// need: fewer than SubiteYa's.
'use strict';
const { fork } = require('child_process');
const { randomUUID } = require('crypto');
const { Queue, Worker } = require('bullmq');

const EDIT = 'video-edit', UPLOAD = 'video-upload';
const connection = { path: process.env.REDIS_SOCKET, maxRetriesPerRequest: null };
const VIDEOS = Number(process.env.VIDEOS), AT_ONCE = Number(process.env.AT_ONCE || 1);
const sleep = ms => new Promise(r => setTimeout(r, ms));
const micros = () => Number(process.hrtime.bigint() / 1000n);

const TABLES = `
create table videos (id text primary key, trace text not null, user_id text not null, account_id text not null, title text not null,
  options text not null, status text not null, progress bigint not null, source_key text not null, source_size bigint not null,
  source_sha256 text not null, probe text not null, edited_key text, edited_size bigint, edited_sha256 text, thumbnail_key text,
  post_ids text, post_url text, created_at bigint not null, updated_at bigint not null, ended_at bigint);
create index on videos (user_id, status, id); create index on videos (account_id, status, id); create index on videos (status, ended_at);
create table tasks (id text primary key, video_id text not null, stage text not null, account_id text not null, state text not null,
  due_at bigint not null, holder text, started_at bigint, attempts bigint not null, unique (video_id, stage));
create index on tasks (stage, state, due_at);
create table history (id text primary key, video_id text not null, at bigint not null, stage text, event text not null, detail text not null);
create index on history (video_id, id);`;

let pool;
if (process.env.PGHOST) {
  const { Pool } = require('pg');
  pool = new Pool({ max: 20 });
}
async function step(work) {
  const client = await pool.connect();
  try { await client.query('begin'); await work((name, text, values) => client.query({ name, text, values })); await client.query('commit'); }
  catch (error) { await client.query('rollback'); throw error; }
  finally { client.release(); }
}
const note = (q, v, stage, event, detail) => q('note', 'insert into history values ($1, $2, $3, $4, $5, $6)',
  [`${Date.now()}-${randomUUID()}`, v, Date.now(), stage, event, JSON.stringify(detail)]);
const SHA = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';

const uploaded = v => step(async q => {
  const now = Date.now(), account = 'account' + Math.floor(Math.random() * 50);
  await q('video', `insert into videos (id, trace, user_id, account_id, title, options, status, progress, source_key, source_size,
    source_sha256, probe, created_at, updated_at) values ($1, $2, 'ann', $3, $4, $5, 'EDITING_QUEUED', 0, $6, 5000000, $7, $8, $9, $9)`,
    [v, randomUUID(), account, 'A clip of the beach in the evening', JSON.stringify({ privacy: 'SELF_ONLY', comments: true, duet: false, stitch: false }),
      `videos/${v}/source`, SHA, JSON.stringify({ width: 1080, height: 1920, duration: 15.0, video: 'h264', audio: 'aac' }), now]);
  await q('task', `insert into tasks (id, video_id, stage, account_id, state, due_at, attempts) values ($1, $2, $3, $4, 'queued', $5, 0)`,
    [randomUUID(), v, 'edit', account, now]);
  await note(q, v, null, 'uploaded', { size: 5000000, sha256: SHA });
});
const started = (v, stage, status) => step(async q => {
  await q('start', `update tasks set state = 'running', holder = $3, started_at = $4 where video_id = $1 and stage = $2 and state = 'queued'`,
    [v, stage, String(process.pid), Date.now()]);
  await q('status', 'update videos set status = $2, updated_at = $3 where id = $1', [v, status, Date.now()]);
  await note(q, v, stage, 'started', { worker: process.pid, attempt: 1 });
});
const done = (q, v, stage) => q('done', `update tasks set state = 'done', holder = null where video_id = $1 and stage = $2 and state = 'running'`, [v, stage]);
const edited = v => step(async q => {
  await done(q, v, 'edit');
  await note(q, v, 'edit', 'done', {});
  const row = await q('edited', `update videos set status = 'EDITED', progress = 100, edited_key = $2, edited_size = 4000000, edited_sha256 = $3,
    thumbnail_key = $4, updated_at = $5 where id = $1 returning account_id`, [v, `videos/${v}/edited`, SHA, `videos/${v}/thumbnail`, Date.now()]);
  await q('task', `insert into tasks (id, video_id, stage, account_id, state, due_at, attempts) values ($1, $2, $3, $4, 'queued', $5, 0)`,
    [randomUUID(), v, 'publish', row.rows[0].account_id, Date.now()]);
  await note(q, v, 'edit', 'edited', { seconds: 0.1, video: 'copy', audio: 'copy' });
});
const posted = v => step(async q => {
  const post = '7' + String(Date.now()).padStart(18, '0');
  await done(q, v, 'publish');
  await note(q, v, 'publish', 'done', {});
  await q('posted', `update videos set status = 'POSTED', progress = 100, post_ids = $2, post_url = $3, updated_at = $4, ended_at = $4 where id = $1`,
    [v, JSON.stringify([post]), 'https://www.tiktok.com/@ann/video/' + post, Date.now()]);
  await note(q, v, 'publish', 'posted', { postIds: [post] });
});

const ROLES = {
  async edit() {
    const next = new Queue(UPLOAD, { connection });
    await next.waitUntilReady();
    return worker(EDIT, async job => {
      const v = job.data.v;
      if (pool) { await started(v, 'edit', 'EDITING'); await edited(v); }
      await next.add('upload', { v }, { removeOnComplete: true });
    });
  },
  async upload() {
    return worker(UPLOAD, async job => {
      if (pool) { await started(job.data.v, 'publish', 'PUBLISHING'); await posted(job.data.v); }
    });
  },
  async listener() {
    return worker(UPLOAD, async () => { process.send({ began: micros() }); });
  },
  async producer() {
    const queue = new Queue(EDIT, { connection });
    await queue.waitUntilReady();
    process.on('message', async () => {
      const at = Date.now();
      let next = 0;
      await Promise.all(Array.from({ length: 50 }, async () => {
        while (next++ < VIDEOS) {
          const v = randomUUID();
          if (pool) await uploaded(v);
          await queue.add('edit', { v }, { removeOnComplete: true });
        }
      }));
      process.send({ added: at });
    });
  },
};
async function worker(queue, work) {
  let ended = 0;
  const one = new Worker(queue, work, { connection, concurrency: AT_ONCE });
  one.on('error', error => { console.error(error); process.exit(1); });
  one.on('failed', (_, error) => { console.error(error); process.exit(1); });
  one.on('completed', () => { if (++ended === VIDEOS) process.send({ all: Date.now() }); });
  await one.waitUntilReady();
}
const kids = [];
async function start(role) {
  const kid = fork(__filename, ['role', role]);
  kids.push(kid);
  kid.on('exit', code => { if (code) process.exit(1); });
  await said(kid, 'ready');
  return kid;
}
const said = (kid, word) => new Promise(r => {
  const on = m => { if (word in m) { kid.off('message', on); r(m[word]); } };
  kid.on('message', on);
});

const MEASURES = {
  async flow() {
    if (pool) await pool.query(TABLES);
    const workers = [await start('edit'), await start('upload')], producer = await start('producer');
    await sleep(500);
    const ends = workers.map(kid => said(kid, 'all')), added = said(producer, 'added');
    producer.send('go');
    const last = Math.max(...await Promise.all(ends));
    console.log(JSON.stringify({ rate: VIDEOS / ((last - await added) / 1000) }));
  },
  async latency() {
    const listener = await start('listener');
    const queue = new Queue(UPLOAD, { connection });
    await queue.waitUntilReady();
    const times = [];
    for (let i = 0; i < VIDEOS + 20; i++) {
      const began = said(listener, 'began'), at = micros();
      await queue.add('upload', { v: i }, { removeOnComplete: true });
      const time = (await began - at) / 1000;
      if (i >= 20) times.push(time);
      await sleep(20);
    }
    times.sort((a, b) => a - b);
    const at = part => times[Math.min(times.length - 1, Math.floor(times.length * part))];
    console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99) }));
  },
};
(async () => {
  if (process.argv[2] === 'role') {
    process.on('disconnect', () => process.exit(0));
    await ROLES[process.argv[3]]();
    process.send({ ready: true });
    return;
  }
  await MEASURES[process.argv[2]]();
  kids.forEach(kid => kid.kill('SIGKILL'));
  process.exit(0);
})().catch(error => { console.error(error); process.exit(1); });
