/** Responses as Gemini sends them, to put streams together for tests. */
export type WireResponse = Record<string, unknown>;

export const usageMetadata = {
  promptTokenCount: 30,
  cachedContentTokenCount: 12,
  candidatesTokenCount: 7,
  thoughtsTokenCount: 5,
  totalTokenCount: 42,
  promptTokensDetails: [{ modality: 'TEXT', tokenCount: 30 }],
  serviceTier: 'standard',
};

const identity = { modelVersion: 'gemini-test-1', responseId: 'abc123' };

/** A response with one candidate. */
export const response = (
  parts: readonly Record<string, unknown>[],
  candidate: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): WireResponse => ({
  candidates: [{ content: { parts, role: 'model' }, index: 0, ...candidate }],
  usageMetadata: { promptTokenCount: 30, totalTokenCount: 30 },
  ...identity,
  ...more,
});

export const said = (text: string): WireResponse => response([{ text }]);

export const ended = (finishReason = 'STOP', more: Record<string, unknown> = {}): WireResponse =>
  response([], { finishReason, ...more }, { usageMetadata });

export const signature = Buffer.from('a signature').toString('base64');

/** Lines end as Google's do. */
export const wire = (responses: readonly unknown[]): string =>
  responses.map((one) => `data: ${JSON.stringify(one)}\r\n\r\n`).join('');
