/* The back end of the gift lists, in Express: `node main.js`. `start`, a folder up, says what the environment has to hold. */
import express from 'express';
import * as auth from './auth.js';
import { invalid, read } from './bodies.js';
import { transaction } from './database.js';
import * as gifts from './gifts.js';
import { Refused } from './gifts.js';
import * as outbox from './outbox.js';

const app = express();
app.disable('etag');
app.use(express.json());
app.use((req, res, next) => {
  res.set('Cache-Control', 'no-store'); // answers are somebody's, and of this moment
  next();
});

app.get('/api/people', (req, res) => {
  res.json(gifts.people());
});

app.post('/api/login', async (req, res) => {
  const user = gifts.person(read(req.body, ['user_id'], ['user_id']).user_id);
  if (!user) throw new Refused(401, 'unauthorized', 'nobody has this name');
  res.json({ session: await auth.session(user.id), user });
});

app.use('/api', async (req, res, next) => {
  const [, session] = /^bearer (.+)$/i.exec(req.headers.authorization ?? '') ?? [];
  const userId = session && (await auth.userOf(session));
  req.who = userId && gifts.person(userId);
  if (!req.who) throw new Refused(401, 'unauthorized', 'sign in first');
  next();
});

app.get('/api/realtime-token', async (req, res) => {
  res.json({ token: await auth.realtimeToken(req.who), expires_in: auth.TOKEN_TTL_S });
});

app.get('/api/config', (req, res) => {
  res.json({ broker_url: process.env.GIFT_BROKER_URL ?? process.env.GIFT_BROKER });
});

app.get('/api/families/:family/gifts', (req, res) => {
  res.json(transaction(() => gifts.listsOf(req.who, req.params.family)));
});

app.post('/api/lists/:list/gifts', (req, res) => {
  const body = read(req.body, ['name', 'note', 'price', 'mutation_id'], ['name']);
  res.status(201).json(change(() => gifts.add(req.who, req.params.list, body)));
});

app.patch('/api/gifts/:gift', (req, res) => {
  const body = read(req.body, ['name', 'note', 'price', 'status', 'version', 'mutation_id']);
  if (!Object.keys(body).some((name) => name !== 'version' && name !== 'mutation_id')) throw invalid('nothing is to be changed');
  res.json(change(() => gifts.edit(req.who, req.params.gift, body)));
});

app.delete('/api/gifts/:gift', (req, res) => {
  const { mutation_id } = read(req.query, ['mutation_id']);
  change(() => gifts.remove(req.who, req.params.gift, mutation_id));
  res.status(204).end();
});

function change(work) {
  const result = transaction(work);
  outbox.publish(); // in the background
  return result;
}

app.use((req, res) => {
  throw new Refused(404, 'not_found', 'there is nothing here');
});

// Express knows a handler of errors by its four parameters
app.use((error, req, res, next) => {
  let { status = 500, code, message } = error;
  if (!(error instanceof Refused)) {
    code = status < 500 ? 'bad_request' : 'internal';
    if (status >= 500) {
      console.error(error);
      message = 'something went wrong here';
    }
  }
  res.status(status).json({ error: { code, message } });
});

outbox.publish(); // what the last run may have left
app.listen(Number(process.env.GIFT_PORT), '127.0.0.1');
