# One image for all roles; the command says which:
#
#   docker build -t millrace .
#   docker run millrace                                   an ingress
#   docker run millrace node apps/worker/src/main.ts      a worker
#   docker run millrace node apps/admin/src/main.ts       a control plane
#
# All need a Redis (REDIS_URL) and a config file (MILLRACE_CONFIG); see docker-compose.yml.
# Node runs the TypeScript as it is: only the console is built. It is process 1 and handles SIGTERM itself:
# the process drains and exits 0, and starts no children that an init would have to reap.
#
# No Docker engine was at hand when this was written: the steps were tried outside of one.

FROM node:24-slim AS packages
WORKDIR /app
# npm wants every workspace that the lock file names. Node is the image's own, the npm package `node`
# being a development dependency.
COPY package.json package-lock.json ./
COPY apps/admin/package.json apps/admin/
COPY apps/cli/package.json apps/cli/
COPY apps/ingress/package.json apps/ingress/
COPY apps/simulator/package.json apps/simulator/
COPY apps/supervisor/package.json apps/supervisor/
COPY apps/worker/package.json apps/worker/
COPY packages/formats/package.json packages/formats/
COPY packages/shared/package.json packages/shared/
COPY bench/package.json bench/
COPY test/package.json test/
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force

# The console's web page, which needs the development dependencies.
FROM packages AS console
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/setup scripts/setup
COPY apps/admin/console apps/admin/console
RUN node -e "import('./scripts/setup/console.mjs').then((m) => m.ensureConsole('/app', '/tmp/lock', new AbortController().signal))"

FROM node:24-slim AS base
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app ./
COPY packages packages
COPY apps apps
COPY --from=console /app/apps/admin/console/dist apps/admin/console/dist
COPY scripts/entrypoint.sh scripts/v8-flags.sh scripts/
COPY scripts/memory-profiles scripts/memory-profiles
# The ledger's volume in docker-compose.yml takes its owner from here.
RUN mkdir /ledger && chown node:node /ledger
USER node

# The simulated provider, for trying things out without a key:
#   docker build --target simulator -t millrace-simulator .
FROM base AS simulator
EXPOSE 9100
CMD ["node", "apps/simulator/src/main.ts", "--host", "0.0.0.0", "--port", "9100"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9100/').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

FROM base AS millrace
# What Node compiles is in the image: a role starts in two thirds of the time.
ENV NODE_COMPILE_CACHE=/home/node/.cache/millrace
RUN sh scripts/entrypoint.sh node apps/ingress/src/main.ts --help > /dev/null \
  && sh scripts/entrypoint.sh node apps/worker/src/main.ts --help > /dev/null \
  && sh scripts/entrypoint.sh node apps/admin/src/main.ts --help > /dev/null
EXPOSE 8080
ENTRYPOINT ["sh", "scripts/entrypoint.sh"]
CMD ["node", "apps/ingress/src/main.ts"]
# For an ingress without TLS; a worker listens to nobody, and its fleet's /readyz tells of it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 8080}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
