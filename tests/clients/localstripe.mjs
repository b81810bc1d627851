// A Stripe that somebody else wrote: https://github.com/adrienverge/localstripe. It has customers, signs notices and lists events, but no
// pages and no charges in the words of today, so that nobody can leave a card there: what it does not know must end as a clear refusal.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { ask, fresh, key, run, soon, url } from './harness.mjs';

const stripe = process.env.TALLYGATE_CLIENTS_STRIPE;
const secret = process.env.TALLYGATE_CLIENTS_SECRETS.split(',')[1];

const at = (path, options = {}) =>
  fetch(`${stripe}${path}`, { ...options, headers: { authorization: 'Bearer sk_test_clients', ...options.headers } });

/** Sends a mutation that may be refused; answers its payload. */
async function tried(query, variables) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  return response.json();
}

const settings = (provider) =>
  ask(
    `mutation($provider: String!) { updatePaymentSettings(input: {provider: $provider, creditPrice: {perCredit: "1", currency: "USD"}}) {
      paymentSettings { provider } userErrors { message } } }`,
    { provider },
  );

await run('localstripe', {
  'a customer is known there by our id, once': async () => {
    await settings('stripe');
    const name = fresh('payer');
    await ask(
      `mutation($name: String!) { createCustomer(input: {externalId: $name, name: "Größe & Söhne = 5 % + 1", idempotencyKey: $name}) {
        customer { id } userErrors { message } } }`,
      { name },
    );
    const notices = { url: `${url}/notices/stripe`, secret, events: ['customer.created'] };
    const config = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(notices) };
    assert.equal((await at('/_config/webhooks/clients', config)).status, 200);
    for (const attempt of [1, 2]) {
      const answer = await tried(
        `mutation($name: String!, $key: String!) { startPaymentMethodSetup(input: {externalCustomerId: $name, idempotencyKey: $key}) {
          setup { id } userErrors { code message } } }`,
        { name, key: `${name}-${attempt}` },
      );
      // It has no pages.
      assert.equal(answer.data?.startPaymentMethodSetup?.setup ?? null, null, JSON.stringify(answer));
      assert(answer.errors?.length || answer.data.startPaymentMethodSetup.userErrors.length, JSON.stringify(answer));
    }
    const { customer } = await ask('query($name: String!) { customer(externalId: $name) { id } }', { name });
    const { data } = await (await at('/v1/customers?limit=100')).json();
    const ours = data.filter((it) => it.name === 'Größe & Söhne = 5 % + 1');
    assert.equal(ours.length, 1);
    assert.equal(ours[0].metadata.tallygate_customer, customer.id);
  },

  'a notice that it signs is believed': async () => {
    const delivered = async () => {
      for (;;) {
        const log = await readFile(process.env.TALLYGATE_CLIENTS_STRIPE_LOG, 'utf8');
        assert(!/webhook "[^"]+" failed/.test(log), log);
        if (log.includes('webhook "customer.created" successfully delivered')) return;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    await soon(delivered(), 'a notice of localstripe');
  },

  'a purchase that it cannot make buys nothing': async () => {
    const name = fresh('buyer');
    await ask(
      'mutation($name: String!) { createCustomer(input: {externalId: $name, idempotencyKey: $name}) { userErrors { message } } }',
      { name },
    );
    const answer = await tried(
      `mutation($name: String!) { startCheckout(input: {externalCustomerId: $name, amount: {amount: "5", currency: "USD"}, idempotencyKey: $name}) {
        payment { id state actionUrl } userErrors { code message } } }`,
      { name },
    );
    const { payment } = answer.data.startCheckout;
    assert.equal(payment?.actionUrl ?? null, null, JSON.stringify(answer));
    assert.notEqual(payment?.state, 'SUCCEEDED');
    const { customer } = await ask('query($name: String!) { customer(externalId: $name) { balance { remaining } } }', { name });
    assert.equal(customer.balance.remaining, '0');
    await settings('sandbox');
  },
});
