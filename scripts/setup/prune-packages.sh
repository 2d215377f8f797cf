#!/bin/sh
# For the image: leaves only what a process reads in node_modules, and lists it in sbom.spdx.json (SPDX).
set -eu
cd "$(dirname "$0")/../.."

# These two workspaces are development's.
rm -r bench test node_modules/@millrace/bench node_modules/@millrace/test
# valibot names the compiler as an optional peer, so npm installs it although it is a development dependency.
rm -rf node_modules/typescript node_modules/@typescript node_modules/.bin/tsc

# npm's own `--omit=dev` leaves out what is also a development dependency of any workspace, fastify among others. So it
# gets manifests without development dependencies.
node -e "
  const fs = require('node:fs');
  const own = JSON.parse(fs.readFileSync('package.json', 'utf8'));
  own.workspaces = own.workspaces.filter((one) => one !== 'bench' && one !== 'test');
  fs.writeFileSync('package.json', JSON.stringify(own, null, 2));"
npm pkg delete devDependencies --workspaces --include-workspace-root
npm sbom --sbom-format=spdx > sbom.spdx.json

folders=$(find . -type d -name node_modules -prune)
# Node runs no TypeScript below node_modules, so that no package needs its own.
# shellcheck disable=SC2086 # words on purpose
find $folders -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.tsbuildinfo' \
  -o -name '*.flow' -o -iname 'readme*' -o -iname 'changelog*' -o -iname 'history.md' \) -delete
# Of a package itself; deeper ones may be code.
# shellcheck disable=SC2086
find $folders -regextype posix-extended -type d \
  -regex '.*/node_modules/(@[^/]+/)?[^/@]+/(test|tests|docs|examples?|benchmarks?|\.github)' -prune -exec rm -r {} +
find . -path '*/node_modules/*' -type d -empty -delete
