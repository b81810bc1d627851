// The client `graphql-sse` in distinct connections mode: https://github.com/enisdenjo/graphql-sse.
import assert from 'node:assert/strict';

import { createClient } from 'graphql-sse';

import { customer, grant, key, next, reader, revoke, run, soon, url, watch } from './harness.mjs';

const open = (secret, options = {}) =>
  createClient({
    url: `${url}/graphql/stream`,
    headers: { authorization: `Bearer ${secret}` },
    retryAttempts: 0,
    ...options,
  });

await run('graphql-sse', {
  'the present comes first, then every change, and a reader resumes': async () => {
    const name = await customer('5');
    const client = open(key);
    const updates = client.iterate(watch(name));
    assert.deepEqual(await next(updates), { sequence: 1, remaining: '5' });
    await grant(name, '2');
    assert.deepEqual(await next(updates), { sequence: 2, remaining: '7' });
    await updates.return();
    await grant(name, '1');
    const missed = client.iterate(watch(name, 2));
    assert.deepEqual(await next(missed), { sequence: 3, remaining: '8' });
    client.dispose();
  },

  'a query is answered and completed': async () => {
    const client = open(key);
    const answers = client.iterate({ query: '{ viewer { scopes } }' });
    const { value } = await soon(answers.next(), 'an answer');
    assert(value.data.viewer.scopes.length > 0);
    assert.equal((await soon(answers.next(), 'the end')).done, true);
    client.dispose();
  },

  'wrong credentials are refused with 401': async () => {
    const client = open('wrong');
    await assert.rejects(soon(client.iterate(watch('x')).next(), 'a refusal'), (error) => error.response.status === 401);
    client.dispose();
  },

  'mutations are refused': async () => {
    const client = open(key);
    const query = 'mutation { retryWork(input: {workId: "x", idempotencyKey: "k"}) { userErrors { code } } }';
    await assert.rejects(soon(client.iterate({ query }).next(), 'a refusal'));
    client.dispose();
  },

  'a customer that does not exist is an error in the stream': async () => {
    const client = open(key);
    const updates = client.iterate(watch('nobody'));
    const { value } = await soon(updates.next(), 'an answer');
    assert.equal(value.errors[0].extensions.code, 'BAD_USER_INPUT');
    assert.equal((await soon(updates.next(), 'the end')).done, true);
    client.dispose();
  },

  'a revoked key ends the stream, and the client is told when it comes back': async () => {
    const name = await customer('5');
    const { id, secret } = await reader();
    const client = open(secret, { retryAttempts: 3, retry: () => Promise.resolve() });
    const updates = client.iterate(watch(name));
    await next(updates);
    await revoke(id);
    await assert.rejects(soon(updates.next(), 'the end'), (error) => error.response.status === 401);
    client.dispose();
  },
});
