#!/usr/bin/env bash
# Clients and checkers that others wrote, against the real command:
#   graphql-http        every audit of GraphQL over HTTP
#   graphql-ws          the usual client of `graphql-transport-ws`
#   graphql-sse         the usual client of server-sent events
#   schemathesis        random documents made from the schema: no answer of 5xx, nothing that kills the server
#   graphql-schema-linter   the conventions of schema.graphql
#   stripe (Node, Python)   how Stripe's own libraries sign and judge notices
#   standardwebhooks (npm, PyPI)   how the libraries of Standard Webhooks verify what the server sends
#   nginx   an API behind deploy/nginx/gate.conf
#   localstripe   a Stripe that somebody else wrote; it listens on all addresses meanwhile, and writes /tmp/localstripe.pickle
#
# Needs Node 20 or later with npm, Python 3.10 or later with venv, and nginx (Debian: nginx-light), which is installed where apt-get may do so. What they need besides is installed into target/clients,
# from the registries that npm and pip are set up for. TALLYGATE_BIN names a command that is built already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools="$root/target/clients"

need() {
  command -v "$1" >/dev/null || { echo "tests/clients needs $1: install $2" >&2; exit 1; }
}
need node "Node 20 or later"
need npm "npm, which comes with Node"
need python3 "Python 3.10 or later with the module venv"
if ! command -v nginx >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # Its own service is not wanted.
  (apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends nginx-light) >/dev/null 2>&1 || true
fi
need nginx "nginx (Debian: nginx-light)"
node -e 'process.exit(+(parseInt(process.versions.node) < 20))' || { echo "tests/clients needs Node 20 or later; this is $(node --version)" >&2; exit 1; }

# Installs anew only when what is asked for has changed.
mkdir -p "$tools"
if ! cmp -s "$here/package-lock.json" "$tools/package-lock.json" || [ ! -d "$here/node_modules" ]; then
  (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  cp "$here/package-lock.json" "$tools/"
fi
if ! cmp -s "$here/requirements.txt" "$tools/requirements.txt" || [ ! -x "$tools/venv/bin/st" ]; then
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$tools/"
fi

command=${TALLYGATE_BIN:-}
if [ -z "$command" ]; then
  (cd "$root" && cargo build --locked --quiet)
  command="$root/target/debug/tallygate"
fi

stage=$(mktemp -d)
server=
stripe=
finish() {
  local code=$?
  for process in $server $stripe; do kill "$process" 2>/dev/null || true; wait "$process" 2>/dev/null || true; done
  if [ "$code" != 0 ] && [ -f "$stage/err" ]; then echo "--- the end of the server's log ---" >&2; tail -n 30 "$stage/err" >&2; fi
  if [ "$code" != 0 ] && [ -f "$stage/stripe" ]; then echo "--- the end of localstripe's log ---" >&2; tail -n 10 "$stage/stripe" >&2; fi
  rm -rf "$stage"
}
trap finish EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(cd "$stage" && exec "$tools/venv/bin/localstripe" --from-scratch --port "$port" >"$stage/stripe" 2>&1) &
stripe=$!
ready=
for _ in $(seq 100); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then ready=yes; break; fi
  kill -0 "$stripe" 2>/dev/null || break
  sleep 0.1
done
[ -n "$ready" ] || { echo "localstripe did not start" >&2; exit 1; }

secrets=whsec_clients_before,whsec_clients_now
(cd "$stage" && exec env -u TALLYGATE_DATABASE_URL TALLYGATE_LISTEN=127.0.0.1:0 TALLYGATE_ADMIN_LISTEN=off \
  TALLYGATE_STRIPE_SECRET_KEY=sk_test_clients TALLYGATE_STRIPE_URL="http://127.0.0.1:$port" TALLYGATE_STRIPE_NOTICE_SECRETS="$secrets" "$command" dev >"$stage/out" 2>"$stage/err") &
server=$!
for _ in $(seq 300); do
  url=$(sed -nE 's#.*(http://127\.0\.0\.1:[0-9]+)/graphql$#\1#p' "$stage/out" 2>/dev/null | head -n 1)
  [ -n "$url" ] && break
  kill -0 "$server" 2>/dev/null || { echo "the server did not start" >&2; exit 1; }
  sleep 0.1
done
[ -n "${url:-}" ] || { echo "the server does not say where it listens" >&2; exit 1; }
key=$(cat "$stage/tallygate-data/dev-key")
export TALLYGATE_CLIENTS_STRIPE="http://127.0.0.1:$port" TALLYGATE_CLIENTS_STRIPE_LOG="$stage/stripe" TALLYGATE_CLIENTS_SECRETS="$secrets"
export TALLYGATE_CLIENTS_URL="$url" TALLYGATE_CLIENTS_KEY="$key" NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

echo "graphql-schema-linter:"
(cd "$here" && node_modules/.bin/graphql-schema-linter "$root/schema.graphql")
node "$here/audit.mjs"
node "$here/websocket.mjs"
node "$here/events.mjs"
node "$here/signatures.mjs"
PYTHONDONTWRITEBYTECODE=1 "$tools/venv/bin/python" "$here/signatures.py"
node "$here/localstripe.mjs"
export TALLYGATE_CLIENTS_WEBHOOKS="$stage/webhooks.json"
node "$here/webhooks.mjs"
PYTHONDONTWRITEBYTECODE=1 "$tools/venv/bin/python" "$here/webhooks.py"
node "$here/nginx.mjs"

# A fixed seed, so that a failure can be repeated; another one can be tried with TALLYGATE_SEED.
(cd "$stage" && PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=scalars "$tools/venv/bin/st" run "$root/schema.graphql" --url "$url/graphql" \
  --header "Authorization: Bearer $key" --checks not_a_server_error --max-examples "${TALLYGATE_EXAMPLES:-20}" \
  --seed "${TALLYGATE_SEED:-1}" --generation-database none --request-timeout 10 --workers 2 --warnings off --continue-on-failure)

kill -0 "$server" 2>/dev/null || { echo "the server has died" >&2; exit 1; }
kill -0 "$stripe" 2>/dev/null || { echo "localstripe has died" >&2; exit 1; }
if grep -E 'panicked|ERROR' "$stage/err"; then echo "the server's log tells of failures" >&2; exit 1; fi
echo "the clients are content"
