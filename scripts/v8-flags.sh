#!/bin/sh
# Prints V8's flags for an ingress or a worker: those of the profile that MILLRACE_MEMORY_PROFILE names
# (docs/operating.md, "How much memory"). Fails with the reason if there is no such profile.
set -eu
folder=$(dirname "$0")/memory-profiles
profile=${MILLRACE_MEMORY_PROFILE:-default}
case $profile in
  */* | .*) ;;
  *) [ -f "$folder/$profile" ] && exec cat "$folder/$profile" ;;
esac
echo "millrace: MILLRACE_MEMORY_PROFILE: expected one of $(ls "$folder" | tr '\n' ' ')(found $profile)" >&2
exit 78
