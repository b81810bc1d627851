// An API behind nginx that asks the gate: the configuration in deploy/nginx, as it stands but for ports and the key.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ask, customer, fresh, grant, report, soon, url } from './harness.mjs';

const port = () =>
  new Promise((found) => {
    const socket = createSocket().listen(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => found(port));
    });
  });

const api = createServer((request, response) => response.end(`hello, ${request.headers['x-customer']}`));
await new Promise((ready) => api.listen(0, '127.0.0.1', ready));

const made = await ask(
  `mutation($key: String!) { createApiKey(input: {name: "gateway", scopes: ["entitlement:read"], idempotencyKey: $key}) { secret userErrors { message } } }`,
  { key: fresh('key') },
);
// A price, which another suite may have made before.
await ask(`mutation($key: String!) { createMetric(input: {key: "api_call", name: "API call", idempotencyKey: $key}) { metric { id } } }`, {
  key: fresh('key'),
});
await ask(`mutation($key: String!) { createMeteringRule(input: {metricKey: "api_call", price: {perUnit: {creditsPerUnit: "1"}}, idempotencyKey: $key}) { meteringRule { id } } }`, {
  key: fresh('key'),
});

const gateway = await port();
const given = readFileSync(new URL('../../deploy/nginx/gate.conf', import.meta.url), 'utf8');
const set = (text, from, to) => {
  assert(text.includes(from), `the configuration says "${from}"`);
  return text.replaceAll(from, to);
};
let config = set(given, '127.0.0.1:4000', new URL(url).host);
config = set(config, 'listen 8080', `listen 127.0.0.1:${gateway}`);
config = set(config, '127.0.0.1:9000', `127.0.0.1:${api.address().port}`);
config = set(config, 'tg_live_...', made.createApiKey.secret);

const folder = mkdtempSync(join(tmpdir(), 'tallygate-nginx-'));
const start = (config) => {
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log stderr; events {}
     http { access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f;
       uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s; ${config} }`,
  );
  return spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: ['ignore', 'inherit', 'inherit'] });
};
const up = async () => {
  for (;;) {
    const open = await new Promise((tried) => {
      const socket = connect(gateway, '127.0.0.1', () => (socket.destroy(), tried(true)));
      socket.on('error', () => tried(false));
    });
    if (open) return;
    await new Promise((later) => setTimeout(later, 50));
  }
};
const call = async (name, headers = {}) => {
  const response = await fetch(`http://127.0.0.1:${gateway}/work`, { headers: { 'x-customer': name, ...headers } });
  return { status: response.status, reason: response.headers.get('x-tallygate-reason'), text: await response.text() };
};

let nginx = start(config);
const failed = [];
let count = 0;
const check = async (name, body) => {
  count += 1;
  try {
    await body();
  } catch (error) {
    failed.push(`${name}: ${error.stack}`);
  }
};
try {
  await soon(up(), 'nginx');
  const name = await customer('3');
  await check('whoever has credits goes on', async () => {
    assert.deepEqual(await call(name), { status: 200, reason: null, text: `hello, ${name}` });
  });
  await check('whoever has none pays first', async () => {
    const poor = await customer('0.5');
    const refused = await call(poor);
    assert.deepEqual([refused.status, refused.reason], [402, 'INSUFFICIENT_CREDITS']);
    await grant(poor, '10');
    assert.equal((await call(poor)).status, 200);
  });
  await check('what callers send under our names does not count', async () => {
    const poor = await customer('0.5');
    const refused = await call(poor, { 'x-tallygate-customer': name, 'x-tallygate-units': '0', 'x-tallygate-key': 'x' });
    assert.equal(refused.status, 402);
  });
  await check('nobody else goes on', async () => {
    assert.equal((await call('nobody')).status, 403);
  });
  await check('without Tallygate nobody goes on', async () => {
    nginx.kill();
    await soon(new Promise((ended) => nginx.on('exit', ended)), 'the end of nginx');
    const nobody = await port();
    nginx = start(set(config, new URL(url).host, `127.0.0.1:${nobody}`));
    await soon(up(), 'nginx');
    assert.equal((await call(name)).status, 503);
  });
} finally {
  nginx.kill();
  api.close();
  rmSync(folder, { recursive: true, force: true });
}
report('nginx', count, failed);
