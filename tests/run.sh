#!/usr/bin/env bash
# The whole proof: formatting, clippy with warnings denied, documentation, every test on SQLite and PostgreSQL, and the
# clients of others (tests/clients/run.sh, which needs Node and Python).
#
# PostgreSQL is taken from TALLYGATE_TEST_POSTGRES_URL, else from 127.0.0.1:5432 (user postgres, no password), else a
# temporary server is started from the programs on this machine and removed afterwards. Tests create and drop their own
# databases in it.
set -euo pipefail
cd "$(dirname "$0")/.."

cleanup=()
finish() { for step in "${cleanup[@]:-}"; do eval "$step" || true; done; }
trap finish EXIT

# initdb refuses to run as root; then the temporary server belongs to the user postgres, or to nobody.
as_server_user() {
  if [ "$(id -u)" != 0 ]; then "$@"; return; fi
  local user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME="$server" "$@"
}

start_postgres() {
  local bin
  bin=$(pg_config --bindir 2>/dev/null || ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
    echo "No PostgreSQL answers at 127.0.0.1:5432 and none is installed. Install one (Debian: postgresql) or set TALLYGATE_TEST_POSTGRES_URL." >&2
    exit 1
  fi
  server=$(mktemp -d)
  chmod 711 "$server"
  [ "$(id -u)" != 0 ] || chown "$(id -u postgres 2>/dev/null || id -u nobody)" "$server"
  local port=$((20000 + RANDOM % 20000))
  as_server_user "$bin/initdb" -D "$server/data" -U postgres -A trust --no-sync >/dev/null
  as_server_user "$bin/pg_ctl" -D "$server/data" -l "$server/log" -w start \
    -o "-p $port -k $server -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300" >/dev/null
  cleanup+=("as_server_user '$bin/pg_ctl' -D '$server/data' -m immediate stop >/dev/null; rm -rf '$server'")
  export TALLYGATE_TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
}

if [ -z "${TALLYGATE_TEST_POSTGRES_URL:-}" ]; then
  if (exec 3<>/dev/tcp/127.0.0.1/5432) 2>/dev/null; then
    export TALLYGATE_TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:5432/postgres"
  else
    start_postgres
  fi
fi
echo "PostgreSQL: $TALLYGATE_TEST_POSTGRES_URL"

cargo fmt --all --check
cargo clippy --workspace --all-targets --no-deps --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
cargo test --workspace --locked
# The command that the tests have built.
TALLYGATE_BIN="$PWD/target/debug/tallygate" tests/clients/run.sh
