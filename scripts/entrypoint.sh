#!/bin/sh
# The image's entry point: `node` gets V8's flags of the memory profile. `exec` keeps the process id, so
# that the role itself is process 1 and receives SIGTERM.
set -eu
if [ "${1:-}" = node ]; then
  shift
  flags=$(sh "$(dirname "$0")/v8-flags.sh")
  # The flags are split into words on purpose.
  # shellcheck disable=SC2086
  exec node $flags "$@"
fi
exec "$@"
