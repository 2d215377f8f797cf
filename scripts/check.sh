#!/bin/sh
# What `npm test` does: set-up, then lint, types, format and every test through turbo.
# The last line of its output is the count of tests, which is why turbo's own summary comes first.
set -u
cd "$(dirname "$0")/.."

"${npm_node_execpath:-node}" scripts/setup.mjs --redis --console --browser || exit

export TURBO_TELEMETRY_DISABLED=1 DO_NOT_TRACK=1
export MILLRACE_TEST_TALLY="$PWD/.turbo/test-tally"
mkdir -p .turbo
rm -f "$MILLRACE_TEST_TALLY"

node_modules/.bin/turbo run lint typecheck format:check test:only \
  --log-prefix=none --continue=always "$@"
status=$?

if [ -f "$MILLRACE_TEST_TALLY" ]; then
  cat "$MILLRACE_TEST_TALLY"
else
  echo 'the tests did not run to their end'
  [ "$status" -ne 0 ] || status=1
fi
exit "$status"
