// The audits of GraphQL over HTTP: https://github.com/graphql/graphql-http. All of them must pass, optional ones too.
import { serverAudits } from 'graphql-http';

import { key, url, report } from './harness.mjs';

const audits = serverAudits({
  url: `${url}/graphql`,
  fetchFn: (input, init = {}) =>
    fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } }),
});
const failed = [];
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== 'ok') failed.push(`${audit.id} ${audit.name}: ${result.reason}`);
}
report('graphql-http', audits.length, failed);
