#!/bin/sh
# Installs redis-server, or valkey-server, in a version that Millrace can use, as root, unattended.
# The package would start a service; Millrace starts its own server on its own port and data.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get update -q || echo 'apt-get update failed: trying with the package lists at hand'

candidate() {
  apt-cache policy "$1" | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9]*\)[.].*/\2/p'
}
package=
for name in redis-server valkey-server; do
  major=$(candidate "$name")
  if [ "${major:-0}" -ge 7 ]; then
    package=$name
    break
  fi
done
if [ -z "$package" ]; then
  echo 'the configured package sources have neither redis-server nor valkey-server >= 7.0'
  exit 1
fi

# A policy that refuses every service start, only during the installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 143' INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$package"

# Nor shall it start at the next boot.
if [ -d /run/systemd/system ]; then
  systemctl disable --now "$package" || true
fi
