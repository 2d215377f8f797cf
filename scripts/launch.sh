#!/bin/sh
# Set-up, then the program in this shell's place.
#
#   launch.sh [--redis | --embedded-redis] ENTRY [ARGUMENT...]
#
# `exec` keeps the process id, so a signal sent to npm, to the shell it started or to the whole
# group reaches the program itself. Node is named by its path: on a fresh clone the shell has already
# looked `node` up, found the machine's own (it may be too old), and some shells remember that.
set -eu
cd "$(dirname "$0")/.."

need=
case "${1:-}" in
  --redis | --embedded-redis)
    need=$1
    shift
    ;;
esac
entry=$1
shift

# The control plane serves the console, which these start.
console=
case $entry in
  apps/supervisor/* | apps/admin/* | apps/cli/*) console=--console ;;
esac

# npm's own Node runs the set-up, because the set-up may have to replace the one in node_modules.
"${npm_node_execpath:-node}" scripts/setup.mjs ${need:+"$need"} ${console:+"$console"} -- "$@"
# Node's compile cache is kept for the next start, which then takes two thirds of the time.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE-$PWD/node_modules/.cache/millrace}"
flags=
case $entry in
  apps/ingress/* | apps/worker/*) flags=$(sh scripts/v8-flags.sh) ;;
esac
# The flags are split into words on purpose.
# shellcheck disable=SC2086
exec node_modules/.bin/node $flags "$entry" "$@"
