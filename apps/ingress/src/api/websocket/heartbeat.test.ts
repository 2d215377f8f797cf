import { EventEmitter } from 'node:events';
import type { WebSocket } from '@fastify/websocket';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createHeartbeat } from './heartbeat.ts';
import type { Heartbeat, SocketWatch } from './heartbeat.ts';

const pingMs = 1000;
const idleMs = 10_000;
const stallMs = 4000;

class Peer extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  pings = 0;
  ping() {
    this.pings += 1;
  }
}

let heartbeat: Heartbeat;
let peer: Peer;
let deaf: boolean;
let requests: number;
let ended: string[];
let watched: SocketWatch;

beforeEach(() => {
  vi.useFakeTimers();
  heartbeat = createHeartbeat({ pingMs, idleMs, stallMs });
  peer = new Peer();
  deaf = false;
  requests = 1;
  ended = [];
  watched = heartbeat.watch(peer as unknown as WebSocket, {
    isPaused: () => deaf,
    requestsOpen: () => requests,
    framesServed: () => 0,
    end: (reason) => ended.push(reason),
  });
});
afterEach(() => {
  heartbeat.close();
  vi.useRealTimers();
});

const pass = (intervals: number) => vi.advanceTimersByTime(intervals * pingMs);

test('a socket that does not answer until the next ping is dead', () => {
  pass(1);
  expect([peer.pings, ended]).toEqual([1, []]);
  pass(1);
  expect([peer.pings, ended]).toEqual([1, ['dead']]);
});

test('a socket that answers is pinged again and again', () => {
  peer.ping = () => {
    peer.pings += 1;
    peer.emit('pong');
  };
  pass(20);
  expect([peer.pings, ended]).toEqual([20, []]);
});

test('a socket that takes its bytes slowly is alive, and one that takes none any more is dead', () => {
  pass(1);
  for (let i = 0; i < 30; i += 1) {
    // Less often than it is looked at.
    if (i % 3 === 0) watched.markProgress();
    pass(1);
  }
  expect([peer.pings, ended]).toEqual([1, []]);
  pass(stallMs / pingMs + 1);
  expect(ended[0]).toBe('dead');
});

test('a socket that was sent many bytes at once gets the time of a slow one, and few bytes make no difference', () => {
  pass(1);
  watched.markWritten(1024);
  pass(1);
  expect(ended).toEqual(['dead']);
  ended.length = 0;
  watched.markAlive();
  pass(1);
  for (let i = 0; i < 100; i += 1) watched.markWritten(1024);
  pass(stallMs / pingMs - 1);
  expect(ended).toEqual([]);
  pass(2);
  expect(ended[0]).toBe('dead');
});

test('a socket that was silent gets a whole interval to answer a new ping', () => {
  pass(1);
  // Between two looks, so that neither sees it.
  watched.markAlive();
  pass(1);
  expect([peer.pings, ended]).toEqual([2, []]);
  pass(1);
  expect(ended).toEqual(['dead']);
});

test('pings and pongs of the client do not count as use, and its requests do', () => {
  requests = 0;
  for (let i = 0; i < 8; i += 1) {
    pass(1);
    peer.emit('ping');
  }
  watched.markUsed();
  for (let i = 0; i < 10; i += 1) {
    pass(1);
    peer.emit('ping');
    peer.emit('pong');
    watched.markAlive();
  }
  expect(ended).toEqual([]);
  pass(1);
  expect(ended).toEqual(['idle']);
});

test('a paused socket is neither pinged nor dead', () => {
  deaf = true;
  pass(20);
  expect([peer.pings, ended]).toEqual([0, []]);
});
