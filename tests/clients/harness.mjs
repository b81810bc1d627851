// What the clients share: where the server is, and a few mutations by plain HTTP.
import assert from 'node:assert/strict';

export const url = process.env.TALLYGATE_CLIENTS_URL;
export const key = process.env.TALLYGATE_CLIENTS_KEY;
assert(url && key, 'run this through tests/clients/run.sh');

/** How long anything may take before a case fails. */
const PATIENCE = 20_000;

/** Waits for a promise, though not for ever. */
export async function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next update of a live balance. */
export async function next(iterator) {
  const { value, done } = await soon(iterator.next(), 'an update');
  assert(!done, 'the stream ended');
  assert.equal(value.errors, undefined);
  return value.data.balanceUpdated;
}

/** Sends a document that must be answered without errors. */
export async function ask(query, variables = {}) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, `${query}: ${JSON.stringify(errors)}`);
  for (const payload of Object.values(data)) assert.deepEqual(payload?.userErrors ?? [], [], query);
  return data;
}

let counter = 0;

/** A name that nobody else uses. */
export const fresh = (name) => `${name}-${process.pid}-${(counter += 1)}`;

/** A customer with so many credits; answers its name. */
export async function customer(credits) {
  const name = fresh('customer');
  await ask(
    `mutation($name: String!, $key: String!) { createCustomer(input: {externalId: $name, idempotencyKey: $key}) { userErrors { message } } }`,
    { name, key: fresh('key') },
  );
  await grant(name, credits);
  return name;
}

/** More credits. */
export const grant = (name, credits) =>
  ask(
    `mutation($name: String!, $credits: Decimal!, $key: String!) {
      grantCredits(input: {externalCustomerId: $name, credits: $credits, source: PROMOTION, idempotencyKey: $key}) { userErrors { message } } }`,
    { name, credits, key: fresh('key') },
  );

/** A key that may read credits, until an instant or for ever. */
export async function reader(expiresAt = null) {
  const data = await ask(
    `mutation($name: String!, $expiresAt: DateTime) {
      createApiKey(input: {name: $name, scopes: ["credit:read"], expiresAt: $expiresAt, idempotencyKey: $name}) { apiKey { id } secret userErrors { message } } }`,
    { name: fresh('reader'), expiresAt },
  );
  return { id: data.createApiKey.apiKey.id, secret: data.createApiKey.secret };
}

/** Revokes a key. */
export const revoke = (id) =>
  ask(`mutation($id: ID!, $key: String!) { revokeApiKey(input: {id: $id, idempotencyKey: $key}) { userErrors { message } } }`, {
    id,
    key: fresh('key'),
  });

/** The live balance of a customer. */
export const watch = (name, after) => ({
  query: `subscription($name: String!, $after: SafeInt) {
    balanceUpdated(externalCustomerId: $name, after: $after) { sequence remaining } }`,
  variables: { name, after },
});

/** Runs cases one after the other. */
export async function run(suite, cases) {
  const failed = [];
  for (const [name, body] of Object.entries(cases)) {
    try {
      await body();
    } catch (error) {
      failed.push(`${name}: ${error.stack}`);
    }
  }
  report(suite, Object.keys(cases).length, failed);
}

/** Tells how a suite went, and ends the process. */
export function report(suite, count, failed) {
  for (const line of failed) console.error(`FAILED ${suite}: ${line}`);
  console.log(`${suite}: ${count - failed.length} of ${count} passed`);
  process.exit(failed.length === 0 ? 0 : 1);
}
