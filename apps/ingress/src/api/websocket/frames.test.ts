import { expect, it } from 'vitest';
import { parseFrame, readCreate, unknownType } from './frames.ts';

it('the metadata of a frame has the same bound as that of a job', () => {
  const read = (length: number) => {
    const text = JSON.stringify({
      type: 'create',
      body: { model: 'm', messages: [{ role: 'user' }] },
      metadata: { note: 'x'.repeat(length - 11) },
    });
    return readCreate(parseFrame(text), text, 0).submission.metadata;
  };
  expect(read(65_536)).toHaveProperty('note');
  expect(() => read(65_537)).toThrow(/'metadata' is longer than 65536 characters/);
});

it('an unknown frame type is an error of the request, and not an error type', () => {
  expect(unknownType('error')).toMatchObject({
    status: 400,
    error: { type: 'invalid_request_error', param: 'type', code: 'unknown_frame_type' },
  });
});
