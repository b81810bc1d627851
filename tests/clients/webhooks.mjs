// Webhooks as the libraries of Standard Webhooks verify them: https://github.com/standard-webhooks/standard-webhooks. The server sends to a
// receiver here; what has come is verified here and, for `webhooks.py`, written down.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Webhook } from 'standardwebhooks';

import { ask, fresh, run, soon } from './harness.mjs';

const received = [];
let waiting = () => {};
const receiver = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    received.push({ headers: request.headers, body });
    waiting();
    response.end('thank you');
  });
});
await new Promise((ready) => receiver.listen(0, '127.0.0.1', ready));
const address = `http://127.0.0.1:${receiver.address().port}/hooks`;

/** The messages that have come, once there are so many. */
const messages = async (count) => {
  const enough = new Promise((ready) => {
    waiting = () => received.length >= count && ready();
    waiting();
  });
  await soon(enough, `${count} messages`);
  return received;
};

const create = await ask(
  `mutation($url: String!, $key: String!) { createWebhookEndpoint(input: {url: $url, types: ["webhook.test"], idempotencyKey: $key}) {
    created { secret endpoint { id } } userErrors { message } } }`,
  { url: address, key: fresh('key') },
);
const { secret, endpoint } = create.createWebhookEndpoint.created;
const test = () =>
  ask(`mutation($id: ID!, $key: String!) { sendTestWebhook(input: {endpointId: $id, idempotencyKey: $key}) { userErrors { message } } }`, {
    id: endpoint.id,
    key: fresh('key'),
  });
const verified = (secret, { headers, body }) => new Webhook(secret).verify(body, headers);
let rotated;

await run(
  'standardwebhooks (npm)',
  {
    'a message is verified, and says what it is': async () => {
      await test();
      const [message] = await messages(1);
      const event = verified(secret, message);
      assert.equal(event.type, 'webhook.test');
      assert.equal(event.id, message.headers['webhook-id']);
      assert.deepEqual(event.data, { webhook_endpoint_id: endpoint.id });
    },

    'one that was changed on its way is not': async () => {
      const [{ headers, body }] = received;
      const changed = [
        { headers, body: body.replace('webhook.test', 'invoice.paid') },
        { headers: { ...headers, 'webhook-id': 'bev_another' }, body },
        { headers: { ...headers, 'webhook-timestamp': `${Number(headers['webhook-timestamp']) + 1}` }, body },
        { headers: { ...headers, 'webhook-signature': 'v1,AAAA' }, body },
      ];
      for (const message of changed) assert.throws(() => verified(secret, message));
      assert.throws(() => verified(`whsec_${Buffer.alloc(32, 7).toString('base64')}`, received[0]));
    },

    'while a secret is replaced, both verify': async () => {
      const turned = await ask(
        `mutation($id: ID!, $key: String!) { rotateWebhookSecret(input: {endpointId: $id, idempotencyKey: $key}) {
          created { secret } userErrors { message } } }`,
        { id: endpoint.id, key: fresh('key') },
      );
      rotated = turned.rotateWebhookSecret.created.secret;
      await test();
      const message = (await messages(2))[1];
      assert.equal(message.headers['webhook-signature'].split(' ').length, 2);
      verified(secret, message);
      verified(rotated, message);
    },

    'what has come is written down': async () => {
      const file = process.env.TALLYGATE_CLIENTS_WEBHOOKS;
      writeFileSync(file, JSON.stringify({ secrets: [secret, rotated], messages: received }));
    },
  },
);
