// The image's health check: exits with 0 if the process of this container is alive. Without arguments it asks wherever a
// role may answer: an ingress on its own port, with or without TLS; workers and control planes on their health port.

import { get as getPlain } from 'node:http';
import { get as getTls } from 'node:https';

const timeoutMs = 2500;

const { PORT, MILLRACE_HEALTH_PORT } = process.env;
const port = PORT || 8080;
const urls =
  process.argv.length > 2
    ? process.argv.slice(2)
    : [
        `http://127.0.0.1:${port}/healthz`,
        `https://127.0.0.1:${port}/healthz`,
        ...(MILLRACE_HEALTH_PORT ? [`http://127.0.0.1:${MILLRACE_HEALTH_PORT}/healthz`] : []),
      ];

function isAlive(url) {
  return new Promise((resolve) => {
    const get = url.startsWith('https:') ? getTls : getPlain;
    // The certificate is for the name that clients use.
    const request = get(url, { timeout: timeoutMs, rejectUnauthorized: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

process.exit((await Promise.all(urls.map(isAlive))).includes(true) ? 0 : 1);
