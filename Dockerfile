# One image for all roles; the command says which:
#
#   docker build -t millrace .
#   docker run millrace                                   an ingress
#   docker run millrace node apps/worker/src/main.ts      a worker
#   docker run millrace node apps/admin/src/main.ts       a control plane
#
# All need a Redis (REDIS_URL) and a config file (MILLRACE_CONFIG); see docker-compose.yml and deploy/helm/millrace.
# Node runs the TypeScript as it is: only the console is built. It is process 1 and handles SIGTERM itself:
# the process drains and exits 0, and starts no children that an init would have to reap.
# The root file system may be read-only; docs/operating.md ("The image") says which folders some features write to.
#
# scripts/image-check/main.mjs builds every target and runs a fleet of them, as docker-compose.yml describes it.

FROM node:24-slim AS manifests
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

# What runs, and the list of it in /app/sbom.spdx.json.
FROM manifests AS packages
COPY scripts/setup/prune-packages.sh scripts/setup/
RUN npm ci --omit=dev --no-audit --no-fund && sh scripts/setup/prune-packages.sh && rm -r scripts

# The console's web page, which needs the development dependencies.
FROM manifests AS console
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/setup scripts/setup
COPY apps/admin/console apps/admin/console
RUN node -e "import('./scripts/setup/console.mjs').then((m) => m.ensureConsole('/app', '/tmp/lock', new AbortController().signal))"

FROM node:24-slim AS sources
WORKDIR /app
COPY packages packages
COPY apps apps
RUN rm -r apps/admin/console
COPY --from=console /app/apps/admin/console/dist apps/admin/console/dist
COPY scripts/entrypoint.sh scripts/healthcheck.mjs scripts/v8-flags.sh scripts/
COPY scripts/memory-profiles scripts/memory-profiles

FROM node:24-slim AS base
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="Millrace" \
  org.opencontainers.image.description="A streaming proxy for LLM APIs: a stream that has started reaches its end." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.created="$CREATED" \
  org.opencontainers.image.base.name="docker.io/library/node:24-slim"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app ./
COPY --from=sources /app ./
# Volumes take their owner from here: a ledger in SQLite, and the debug log.
RUN mkdir /ledger .compile-cache && chown node:node /ledger .compile-cache
# As a number, because Kubernetes cannot tell that a name is not root's.
USER 1000:1000

# The simulated provider, for trying things out without a key:
#   docker build --target simulator -t millrace-simulator .
FROM base AS simulator
EXPOSE 9100
CMD ["node", "apps/simulator/src/main.ts", "--host", "0.0.0.0", "--port", "9100"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "scripts/healthcheck.mjs", "http://127.0.0.1:9100/"]

FROM base AS millrace
# What Node compiles is in the image: a role starts in two thirds of the time. Node keeps a cache for each user.
ENV NODE_COMPILE_CACHE=/app/.compile-cache
RUN sh scripts/entrypoint.sh node apps/ingress/src/main.ts --help > /dev/null \
  && sh scripts/entrypoint.sh node apps/worker/src/main.ts --help > /dev/null \
  && sh scripts/entrypoint.sh node apps/admin/src/main.ts --help > /dev/null
# Of workers and control planes, which serve no clients; an ingress answers probes on its own port.
ENV MILLRACE_HEALTH_PORT=8081
EXPOSE 8080 8081
ENTRYPOINT ["sh", "scripts/entrypoint.sh"]
CMD ["node", "apps/ingress/src/main.ts"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "scripts/healthcheck.mjs"]
