import { expect, test } from 'vitest';
import { readWebhook } from './webhook.ts';

const webhooks = { secret: 's', allowPrivate: false, events: [] };
const url = 'https://example.com/hook?x=1';

test('a job names a URL, or means that of the fleet', () => {
  expect(readWebhook(undefined, undefined)).toBeUndefined();
  expect(readWebhook({ url }, webhooks)).toEqual({ url });
  expect(readWebhook({}, { ...webhooks, url })).toEqual({});
  expect(() => readWebhook({}, webhooks)).toThrow("'webhook.url'");
});

test('http needs allowPrivate, and no URL has a login, a fragment or 2,049 characters', () => {
  const http = 'http://127.0.0.1:1/';
  expect(readWebhook({ url: http }, { ...webhooks, allowPrivate: true })).toEqual({ url: http });
  for (const bad of [http, 'https://u:p@a.b/', `${url}#f`, url.padEnd(2049, 'x'), 'x', '']) {
    expect(() => readWebhook({ url: bad }, webhooks)).toThrow('expected an https URL');
  }
});

test('a fleet without webhooks says so', () => {
  expect(() => readWebhook({ url }, undefined)).toThrow('sends no webhooks');
});
