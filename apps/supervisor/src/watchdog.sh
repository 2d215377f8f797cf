#!/bin/sh
# Outlives a supervisor that was killed, and ends what that left behind.
#
#   watchdog.sh SECONDS        standard input: lines "PID... / PID...", held open by the supervisor
#
# The last line names the processes: before the slash those that notice by themselves and drain
# (ingresses, workers), after it those that serve them until then (providers, redis-server). When
# standard input ends the supervisor is gone: wait until the first have ended, at most SECONDS, then
# end all the others.
seconds=$1
pids=' / '
while read -r line; do pids=$line; done
draining=${pids%/*}
serving=${pids#*/}

any_alive() {
  for pid in "$@"; do
    kill -0 "$pid" 2>/dev/null && return 0
  done
  return 1
}

# The lists are split into words on purpose.
# shellcheck disable=SC2086
while [ "$seconds" -gt 0 ] && any_alive $draining; do
  sleep 1
  seconds=$((seconds - 1))
done
# shellcheck disable=SC2086
for pid in $draining; do kill -KILL "$pid" 2>/dev/null; done
# shellcheck disable=SC2086
for pid in $serving; do kill -TERM "$pid" 2>/dev/null; done
exit 0
