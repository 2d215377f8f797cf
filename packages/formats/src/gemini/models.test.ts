import { expect, test } from 'vitest';
import { capabilitiesOf } from './models.ts';

test.each([
  ['gemini-2.5-pro', true],
  ['models/gemini-2.5-flash-lite', true],
  ['gemini-3-pro-preview', true],
  ['gemini-2.5-pro-preview-06-05', true],
  ['gemini-2.0-flash-001', false],
])('%s answers in text and calls tools', (model, reasoning) => {
  expect(capabilitiesOf(model)).toEqual({
    serves: ['chat'],
    input: ['text', 'image', 'audio', 'video', 'file'],
    output: ['text'],
    tools: true,
    structuredOutput: true,
    reasoning,
  });
});

test.each([
  'gemini-2.5-flash-image',
  'gemini-2.5-flash-preview-tts',
  'gemini-live-2.5-flash',
  'gemini-flash-latest',
  'gemini-robotics-er-1.5-preview',
  'gemma-3-27b-it',
  'healthy',
])('of %s nothing is known', (model) => {
  expect(capabilitiesOf(model)).toEqual({});
});

test.each(['gemini-embedding-001', 'models/text-embedding-004'])('%s has embeddings', (model) => {
  expect(capabilitiesOf(model)).toEqual({ serves: ['embeddings'] });
});
