// The client `graphql-ws`: https://github.com/enisdenjo/graphql-ws.
import assert from 'node:assert/strict';

import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { customer, grant, key, next, reader, revoke, run, soon, url, watch } from './harness.mjs';

const open = (secret, options = {}) =>
  createClient({
    url: `${url.replace('http', 'ws')}/graphql/ws`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${secret}` },
    retryAttempts: 0,
    ...options,
  });

/** The close event of a client's next end. */
const closed = (client) => new Promise((resolve) => client.on('closed', resolve));

await run('graphql-ws', {
  'the present comes first, then every change, and a reader resumes': async () => {
    const name = await customer('5');
    const client = open(key);
    const updates = client.iterate(watch(name));
    assert.deepEqual(await next(updates), { sequence: 1, remaining: '5' });
    await grant(name, '2');
    assert.deepEqual(await next(updates), { sequence: 2, remaining: '7' });
    await updates.return();
    await client.dispose();
    await grant(name, '1');
    await grant(name, '1');
    const later = open(key);
    const missed = later.iterate(watch(name, 2));
    assert.deepEqual(await next(missed), { sequence: 3, remaining: '8' });
    assert.deepEqual(await next(missed), { sequence: 4, remaining: '9' });
    await later.dispose();
  },

  'several subscriptions share a socket and end one by one': async () => {
    const names = [await customer('1'), await customer('2'), await customer('3')];
    let sockets = 0;
    const client = open(key, { on: { connected: () => (sockets += 1) } });
    const all = names.map((name) => client.iterate(watch(name)));
    const first = await Promise.all(all.map(next));
    assert.deepEqual(first.map((it) => it.remaining), ['1', '2', '3']);
    await all[0].return();
    await grant(names[1], '1');
    assert.equal((await next(all[1])).remaining, '3');
    assert.equal(sockets, 1);
    await client.dispose();
  },

  'pings are answered': async () => {
    const client = open(key, { lazy: false, keepAlive: 100 });
    const pong = new Promise((resolve) => client.on('pong', (received) => received && resolve()));
    await soon(pong, 'a pong');
    await client.dispose();
  },

  'wrong credentials close with 4403': async () => {
    for (const connectionParams of [undefined, {}, { authorization: 'Bearer wrong' }, { authorization: 1 }]) {
      const client = open(key, { connectionParams });
      const end = closed(client);
      await assert.rejects(soon(client.iterate(watch('x')).next(), 'a refusal'), (event) => event.code === 4403);
      assert.equal((await soon(end, 'the end of the socket')).code, 4403);
      await client.dispose();
    }
  },

  'documents that do not fit and operations that do not belong here are errors': async () => {
    const client = open(key);
    for (const query of [
      'subscription {',
      'subscription { nothing }',
      '{ viewer { scopes } }',
      'mutation { retryWork(input: {workId: "x", idempotencyKey: "k"}) { userErrors { code } } }',
    ]) {
      await assert.rejects(soon(client.iterate({ query }).next(), 'a refusal'), (errors) => {
        assert(Array.isArray(errors) && errors[0].message && errors[0].extensions.code, `${query}: ${errors}`);
        return true;
      });
    }
    const name = await customer('5');
    assert.equal((await next(client.iterate(watch(name)))).remaining, '5');
    await client.dispose();
  },

  'a revoked key and an expired one close with 4403': async () => {
    const name = await customer('5');
    const revoked = await reader();
    const expiring = await reader(new Date(Date.now() + 3_000).toISOString());
    for (const { id, secret } of [revoked, expiring]) {
      const client = open(secret);
      const end = closed(client);
      const updates = client.iterate(watch(name));
      await next(updates);
      if (id === revoked.id) await revoke(id);
      await assert.rejects(soon(updates.next(), 'the end'), (event) => event.code === 4403);
      assert.equal((await soon(end, 'the end of the socket')).code, 4403);
      await client.dispose();
    }
  },

  'a client whose line breaks comes back by itself': async () => {
    const name = await customer('5');
    let socket;
    let connections = 0;
    const client = open(key, {
      retryAttempts: 5,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
      on: {
        connected: (opened) => {
          socket = opened;
          connections += 1;
        },
      },
    });
    const updates = client.iterate(watch(name));
    assert.equal((await next(updates)).remaining, '5');
    socket.terminate();
    // It subscribes again and is told the present.
    assert.equal((await next(updates)).remaining, '5');
    await grant(name, '1');
    assert.equal((await next(updates)).remaining, '6');
    assert.equal(connections, 2);
    await client.dispose();
  },

  'mistakes of the protocol are not tried again': async () => {
    const name = await customer('5');
    let connections = 0;
    const client = open(key, { retryAttempts: 5, generateID: () => 'same', on: { connected: () => (connections += 1) } });
    const first = client.iterate(watch(name));
    await next(first);
    const second = client.iterate(watch(name));
    await assert.rejects(soon(second.next(), 'a refusal'), (event) => event.code === 4409);
    await assert.rejects(soon(first.next(), 'the end'), (event) => event.code === 4409);
    assert.equal(connections, 1);
    await client.dispose();
  },

  'other subprotocols are refused': async () => {
    for (const protocol of ['graphql-ws', 'soap', undefined]) {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql/ws`, protocol);
      const status = new Promise((resolve) => {
        socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
        socket.on('open', () => resolve('open'));
        socket.on('error', () => {});
      });
      assert.equal(await soon(status, 'an answer'), 400, protocol);
    }
  },
});
