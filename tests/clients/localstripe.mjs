// A Stripe that somebody else wrote: https://github.com/adrienverge/localstripe. It keeps customers and signs notices, but has no pages
// (so that nobody can leave a card with us, or pay) and does not know how we ask for charges and events: that must end as nothing known.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

import Stripe from 'stripe';

import { ask, fresh, key, run, soon, url } from './harness.mjs';

const stripe = process.env.TALLYGATE_CLIENTS_STRIPE;
const secret = process.env.TALLYGATE_CLIENTS_SECRETS.split(',')[1];
const NAME = 'Größe & Söhne = 5 % + 1';

/** Asks localstripe itself; what is sent, is sent as a form. */
async function at(path, form) {
  const body = form && new URLSearchParams(form);
  const response = await fetch(`${stripe}${path}`, { method: form ? 'POST' : 'GET', headers: { authorization: 'Bearer sk_test_clients' }, body });
  assert.equal(response.status, 200, path);
  return response;
}
const made = async (path, form) => (await at(path, form)).json();

/** How often a line stands in the log of localstripe. */
const logged = async (line) => (await readFile(process.env.TALLYGATE_CLIENTS_STRIPE_LOG, 'utf8')).split(line).length - 1;
const told = (line) =>
  soon((async () => { while (!(await logged(line))) await pause(100); })(), line);

/** Where localstripe is to send its notices. */
const listen = (name, secret, event) => at(`/_config/webhooks/${name}`, { url: `${url}/notices/stripe`, secret, 'events[]': event });

const settings = (provider) =>
  ask(
    `mutation($provider: String!) { updatePaymentSettings(input: {provider: $provider, creditPrice: {perCredit: "1", currency: "USD"}}) {
      paymentSettings { provider } userErrors { message } } }`,
    { provider },
  );

async function payer() {
  const name = fresh('payer');
  const data = await ask(
    `mutation($name: String!, $title: String!) { createCustomer(input: {externalId: $name, name: $title, billingEmail: "a+b@example.com",
      idempotencyKey: $name}) { customer { id } userErrors { message } } }`,
    { name, title: NAME },
  );
  return { name, id: data.createCustomer.customer.id };
}

/** Those whom localstripe knows by our name. */
const known = async (id) => {
  const { data } = await (await at('/v1/customers?limit=100')).json();
  return data.filter((it) => it.metadata.tallygate_customer === id);
};

await settings('stripe');
await run('localstripe', {
  'a customer is known there by our id, once, and a page that it has not is no page': async () => {
    await listen('customers', secret, 'customer.created');
    const { name, id } = await payer();
    const query = `mutation($name: String!, $key: String!) {
      startPaymentMethodSetup(input: {externalCustomerId: $name, idempotencyKey: $key}) { setup { id } userErrors { code } } }`;
    for (const attempt of [1, 2]) {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ query, variables: { name, key: `${name}-${attempt}` } }),
      });
      const { data, errors } = await response.json();
      assert.equal(data, null);
      assert.deepEqual([errors[0].extensions.code, errors[0].extensions.retryable], ['SERVICE_UNAVAILABLE', true]);
    }
    const [it, ...others] = await known(id);
    assert.deepEqual([it?.name, it?.email, others.length], [NAME, 'a+b@example.com', 0]);
    await told('webhook "customer.created" successfully delivered');
  },

  'a purchase is not known to have ended, and a notice that it has is only a question': async () => {
    const { name, id } = await payer();
    const { startCheckout } = await ask(
      `mutation($name: String!) { startCheckout(input: {externalCustomerId: $name, amount: {amount: "5", currency: "USD"}, idempotencyKey: $name}) {
        payment { id state actionUrl } userErrors { message } } }`,
      { name },
    );
    const payment = startCheckout.payment.id;
    assert.deepEqual(startCheckout.payment, { id: payment, state: 'UNKNOWN', actionUrl: null });
    const [{ id: customer }] = await known(id);

    // Somebody pays there, under our name, and localstripe tells it with our secret and with another.
    await listen('good', secret, 'payment_intent.succeeded');
    await listen('bad', 'whsec_of_somebody_else', 'payment_intent.succeeded');
    const card = { 'card[number]': '4242424242424242', 'card[exp_month]': 12, 'card[exp_year]': 2040, 'card[cvc]': 123 };
    const method = await made('/v1/payment_methods', { type: 'card', ...card });
    await made(`/v1/payment_methods/${method.id}/attach`, { customer });
    const charge = { amount: 500, currency: 'usd', customer, payment_method: method.id, confirm: true };
    const intent = await made('/v1/payment_intents', { ...charge, 'metadata[tallygate_payment]': payment });
    assert.equal(intent.status, 'succeeded');
    await told('webhook "payment_intent.succeeded" successfully delivered');
    await told('webhook "payment_intent.succeeded" failed with response code 400');
    await told(`"GET /v1/payment_intents?customer=${customer}&`);

    // One of the other world is not believed.
    const event = { id: fresh('evt'), type: intent.object, created: intent.created, livemode: true, data: { object: intent } };
    const foreign = JSON.stringify(event);
    const header = Stripe.webhooks.generateTestHeaderString({ payload: foreign, secret });
    const answer = await fetch(`${url}/notices/stripe`, { method: 'POST', headers: { 'stripe-signature': header }, body: foreign });
    assert.equal(answer.status, 400);

    // It could not say how the payment stands: nothing is granted.
    const now = await ask(
      'query($id: ID!, $name: String!) { payment(id: $id) { state blockId } customer(externalId: $name) { balance { remaining } } }',
      { id: payment, name },
    );
    assert.deepEqual(now, { payment: { state: 'UNKNOWN', blockId: null }, customer: { balance: { remaining: '0' } } });
  },

  'the sandbox sells again': () => settings('sandbox'),
});
