#!/usr/bin/env bash
# Kills the shipped program at random times (kill -9), resumes it, and checks from outside that nothing was lost and
# no finished work was done twice.
#
#   scripts/kill-resume.sh [KILLS] [GRAPH] [QUESTION]       50 kills of the program's first graph by default
#
# What is compared: everything that `runs show --json` says of the run but ids, times and attempt numbers, with the
# same of a run that nobody disturbed. What is counted: the model server's own log, by idempotency key; a call of an
# activation that was stored as finished before the kill must not arrive again. The journal is not asked about that.
#
# STATEWRIGHT_BIN and WIRE_SERVER_BIN name built programs; without them both are built in release mode.
# Needs bash, awk, sed, grep and diff.
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-50}
graph=${2:-}
question=${3:-How does the engine resume after a crash, and what is 150 times 223.48?}
pause_ms=2 # between the pieces of an answer, so that there is time to be killed in

if [ -z "${STATEWRIGHT_BIN:-}" ]; then
  cargo build --quiet --release --bin statewright
  STATEWRIGHT_BIN=target/release/statewright
fi
if [ -z "${WIRE_SERVER_BIN:-}" ]; then
  cargo build --quiet --release -p statewright-nodes-models --features test-server --bin wire-server
  WIRE_SERVER_BIN=target/release/wire-server
fi

work=$(mktemp -d)
log=$work/server.log
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*" >&2
  [ -z "${KEEP:-}" ] || { trap - EXIT; echo "kept: $work" >&2; }
  exit 1
}

script=$(printf "slow:$pause_ms,%.0s" $(seq $((kills * 60 + 60))))
: >"$log"
"$WIRE_SERVER_BIN" --script "$script" --piece 64 --log "$log" >"$work/url" &
server=$!
for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.05; done
[ -s "$work/url" ] || fail "the model server did not start"
export OPENAI_BASE_URL
OPENAI_BASE_URL=$(cat "$work/url")
unset OPENAI_API_KEY OPENAI_MODEL
export STATEWRIGHT_HOME=$work/home

sw() { "$STATEWRIGHT_BIN" "$@"; }
start_args=(run --json ${graph:+--graph "$graph"} "$question" --thread)
start() { sw "${start_args[@]}" "$1"; }
run_of() { sw runs list --json --thread "$1" | sed -n 's/^ *"run": "\(.*\)",$/\1/p' | head -1; }
# Everything that must not depend on when somebody pulled the plug.
essence() { sw runs show --json "$1" | grep -vE '^ *"(run|thread|ms|at_ms|attempt|created_ms|updated_ms|resume|detail)":'; }
# The activations that are stored as finished.
finished() {
  sw runs show --json "$1" | awk -F'"' '
    /"activation":/ { activation = $4; asked = 0 }
    /"asked":/ { asked = ($0 !~ /null/) }
    /"failure": null/ { if (activation != "" && !asked) print activation; activation = "" }'
}
now_ms() { date +%s%3N; }

before=$(now_ms)
start undisturbed >/dev/null || fail "the undisturbed run failed"
span=$(($(now_ms) - before))
undisturbed=$(run_of undisturbed)
essence "$undisturbed" >"$work/expected"
calls=$(grep -c '"idempotency_key":"undisturbed/' "$log") || fail "the undisturbed run called no model"
echo "undisturbed: $span ms, $calls model calls"

killed=0 round=0 never=0 late=0 repeated=0 kept=0
while [ "$killed" -lt "$kills" ]; do
  round=$((round + 1))
  thread=k$round
  run=
  # Each thread is killed up to twice, so that what a resume did is resumed too. A third kill in the same activation would
  # make it a crash loop, which is another end than the undisturbed one and has tests of its own.
  for ((attempt = 0; attempt < 2 && killed < kills; attempt++)); do
    wait_ms=$((RANDOM % (span + span / 10 + 1)))
    args=(resume --json "$run")
    [ -n "$run" ] || args=("${start_args[@]}" "$thread")
    : >"$work/out"
    # Not through a function: the shell's child must be the program itself, or somebody else dies in its place.
    "$STATEWRIGHT_BIN" "${args[@]}" >"$work/out" 2>"$work/err" &
    victim=$!
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    if kill -9 "$victim" 2>/dev/null; then :; fi
    status=0
    { wait "$victim"; } 2>/dev/null || status=$?
    if grep -q '"code": "SW-C712"' "$work/out"; then
      # It had died between its row and its first record: nothing was acknowledged, and the thread is free.
      never=$((never + 1)) run=
      continue
    fi
    # It had finished and not yet said so.
    if grep -q '"code": "SW-X202"' "$work/out"; then break; fi
    [ "$status" -eq 137 ] || [ "$status" -eq 0 ] || fail "round $round: exit $status: $(cat "$work/out" "$work/err")"
    killed=$((killed + 1))
    run=$(run_of "$thread")
    if [ -z "$run" ]; then never=$((never + 1)); continue; fi
    finished "$run" >"$work/finished"
    lines=$(wc -l <"$log")
    if [ "$status" -eq 0 ]; then late=$((late + 1)); break; fi
    # What was finished when the process died must not be asked of the model again, by anybody, ever.
    echo "$lines $(tr '\n' ' ' <"$work/finished")" >>"$work/promises.$thread"
  done
  if [ -z "$run" ]; then start "$thread" >/dev/null || fail "round $round: a fresh start failed"; run=$(run_of "$thread"); fi
  status=0
  sw resume --json "$run" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne 0 ]; then
    if grep -q '"code": "SW-C712"' "$work/out"; then
      never=$((never + 1))
      start "$thread" >/dev/null || fail "round $round: a fresh start failed"
      run=$(run_of "$thread")
    else
      grep -q '"code": "SW-X202"' "$work/out" || fail "round $round: resume $run: exit $status: $(cat "$work/out" "$work/err")"
    fi
  fi
  essence "$run" >"$work/actual"
  diff "$work/expected" "$work/actual" >&2 || fail "round $round: the run $run ended in another state"
  if [ -f "$work/promises.$thread" ]; then
    while read -r lines activations; do
      for activation in $activations; do
        ! head -n "$lines" "$log" | grep -cF "\"idempotency_key\":\"$thread/$activation/" >/dev/null || kept=$((kept + 1))
        again=$(tail -n "+$((lines + 1))" "$log" | grep -cF "\"idempotency_key\":\"$thread/$activation/" || true)
        [ "$again" -eq 0 ] || fail "round $round: the finished activation $activation of $run called the model $again times more"
      done
    done <"$work/promises.$thread"
  fi
  total=$(grep -cF "\"idempotency_key\":\"$thread/" "$log" || true)
  repeated=$((repeated + total - calls))
done
echo "$killed kills in $round runs: every run ended as the undisturbed one, and no finished activation ran again"
echo "$kept times a call of finished work was there to be repeated, and was not"
echo "$never before the first record, $late after the end, $repeated calls repeated by activations that were not finished"
# Too few kills may all miss; many that all miss would prove nothing.
[ "$kept" -gt 0 ] || [ "$kills" -lt 20 ] || fail "no kill came between a model call and the end of a run"
