#!/usr/bin/env bash
# The long version of chaos: tests/chaos.sh [SEED] [MINUTES]
#
# Every case that has a length goes on for so many minutes (10 unless told otherwise), two at a time. Without a seed a new one
# is taken and shown: with it and the same number of minutes the same happens again, as far as it is ours to decide.
# docs/chaos.md tells what is done and what must come out.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${1:-$(( (RANDOM << 15) + RANDOM ))}
minutes=${2:-10}
for number in "$seed" "$minutes"; do
  case $number in
    '' | *[!0-9]*)
      echo "usage: tests/chaos.sh [SEED] [MINUTES], both whole numbers" >&2
      exit 2
      ;;
  esac
done

echo "chaos: seed $seed, $minutes minutes"
export TALLYGATE_CHAOS_SEED=$seed TALLYGATE_CHAOS_MINUTES=$minutes
if ! cargo test --workspace --locked --test chaos -- --nocapture; then
  echo "chaos failed; to repeat it: tests/chaos.sh $seed $minutes" >&2
  exit 1
fi
