// Notices that Stripe's own library signs and judges: https://github.com/stripe/stripe-node. The server must say the same of each.
import assert from 'node:assert/strict';

import Stripe from 'stripe';

import { fresh, run, url } from './harness.mjs';

const { webhooks } = Stripe;
// Those that the server was started with: one that is being replaced, and the one that replaces it.
const [before, now] = process.env.TALLYGATE_CLIENTS_SECRETS.split(',');
const seconds = (ago = 0) => Math.floor(Date.now() / 1000) - ago;
/** How old a notice may be that Stripe's library believes, in seconds. */
const TOLERANCE = webhooks.DEFAULT_TOLERANCE;

const notice = (livemode = false) =>
  JSON.stringify({
    id: fresh('evt_node'),
    type: 'charge.refunded',
    created: seconds(),
    livemode,
    data: { object: { id: 'ch_1', payment_intent: 'pi_unknown', description: 'Größe ⅝ 😀' } },
  });
const sign = (payload, secret, timestamp = seconds()) => webhooks.generateTestHeaderString({ payload, secret, timestamp });

/** What the server answers. */
const send = async (body, header) => {
  const headers = { 'content-type': 'application/json' };
  if (header !== undefined) headers['stripe-signature'] = header;
  const response = await fetch(`${url}/notices/stripe`, { method: 'POST', headers, body });
  return response.status;
};

/** Whether Stripe's library believes it under one of the secrets. */
const believes = (body, header) =>
  [before, now].some((secret) => {
    try {
      webhooks.constructEvent(body, header, secret);
      return true;
    } catch {
      return false;
    }
  });

/** The server answers `good`, and so does the library, unless it is known to differ. */
const judged = async (body, header, good, library = good) => {
  assert.equal(believes(body, header), library, "Stripe's library");
  assert.equal(await send(body, header), good ? 200 : 400, 'the server');
};

await run('stripe-node', {
  'a notice is believed under each secret': async () => {
    for (const secret of [before, now]) {
      const body = notice();
      await judged(body, sign(body, secret), true);
    }
  },

  'two signatures, of which one is known': async () => {
    const body = notice();
    const [time, known] = sign(body, now).split(',');
    const [, other] = sign(body, 'whsec_of_somebody_else').split(',');
    await judged(body, `${time},${other},${known}`, true);
    await judged(body, `${time},${known},${other}`, true);
    await judged(body, `${known},${time}`, true);
    await judged(body, `${time},${other}`, false);
  },

  'the same by way of WebCrypto': async () => {
    const crypto = Stripe.createSubtleCryptoProvider();
    const body = notice();
    const header = await webhooks.generateTestHeaderStringAsync({ payload: body, secret: now, cryptoProvider: crypto });
    assert.equal((await webhooks.constructEventAsync(body, header, now, TOLERANCE, crypto)).id, JSON.parse(body).id);
    await assert.rejects(webhooks.constructEventAsync(body, header, 'whsec_of_somebody_else', TOLERANCE, crypto));
    assert.equal(await send(body, header), 200);
  },

  'the same notice again': async () => {
    const body = notice();
    const header = sign(body, now);
    await judged(body, header, true);
    await judged(body, header, true);
  },

  'a secret of somebody else': async () => {
    const body = notice();
    await judged(body, sign(body, 'whsec_of_somebody_else'), false);
  },

  'a body that was changed': async () => {
    const body = notice();
    const header = sign(body, now);
    await judged(body.replace('charge.refunded', 'charge.captured'), header, false);
    await judged(`${body}\n`, header, false);
  },

  'a notice that is too old': async () => {
    const body = notice();
    await judged(body, sign(body, now, seconds(TOLERANCE - 30)), true);
    await judged(body, sign(body, now, seconds(TOLERANCE + 30)), false);
  },

  'no signature of the scheme, and none at all': async () => {
    const body = notice();
    await judged(body, sign(body, now).replace('v1=', 'v0='), false);
    await judged(body, 'v1=ab', false);
    await judged(body, '', false);
    assert.equal(await send(body), 400);
  },

  // The library asks only about what is too old, and of two moments takes the last.
  'where the server is stricter': async () => {
    const body = notice();
    await judged(body, sign(body, now, seconds(-TOLERANCE - 30)), false, true);
    await judged(body, `t=1,${sign(body, now)}`, false, true);
  },

  // Who signs it has the secret all the same.
  'where the server is more lenient': async () => {
    const body = notice();
    const [time, known] = sign(body, now).split(',');
    await judged(body, `${time}, ${known}`, true, false);
    await judged(body, `${time},v1=${known.slice(3).toUpperCase()}`, true, false);
  },

  // Stripe's library does not ask about that: a notice about real money is nothing to an account for tests.
  'a notice of the other world': async () => {
    const body = notice(true);
    assert.equal(believes(body, sign(body, now)), true);
    assert.equal(await send(body, sign(body, now)), 400);
  },
});
