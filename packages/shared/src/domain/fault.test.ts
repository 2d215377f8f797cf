import { describe, expect, it } from 'vitest';
import type { OpenAiError } from './entry.ts';
import { classifyStatus, faultTable, faultToError, operatorsWords } from './fault.ts';
import type { FaultCode, FaultRow } from './fault.ts';

const rows = Object.entries(faultTable) as [FaultCode, FaultRow][];

describe('the fault table', () => {
  it.each(rows)('%s has a row that can be acted on', (code, row) => {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(row.httpStatus).toBeGreaterThanOrEqual(400);
    expect(row.httpStatus).toBeLessThan(600);
    expect(row.type).not.toBe('');
    expect(row.again).toBeLessThanOrEqual(2);
    // Whoever is told at once is not asked again first.
    expect(row.next || row.again === 0).toBe(true);
    expect(!row.pause || row.again > 0).toBe(true);
  });

  it('tells the client at once what is the same everywhere', () => {
    expect(rows.flatMap(([code, { next }]) => (next ? [] : [code]))).toEqual([
      'content_filtered',
      'upstream_rejected',
      'response_too_large',
      'upstream_failed_mid_stream',
      'deadline_exceeded',
      'max_cost_exceeded',
      'no_target_available',
      'internal_error',
    ]);
  });

  it('does not hold the request against a target that refuses it', () => {
    const unhealthy = rows.flatMap(([code, { health }]) => (health ? [code] : []));
    for (const code of ['context_length_exceeded', 'content_filtered', 'no_continuation']) {
      expect(unhealthy).not.toContain(code);
    }
    expect(unhealthy).toEqual(
      expect.arrayContaining(['upstream_reset', 'upstream_overloaded', 'upstream_idle_timeout']),
    );
  });
});

describe('the error that a client sees', () => {
  it('is the provider’s own where it sent one', () => {
    const error = { message: 'No.', type: 'x', param: 'p', code: null };
    const fault = { code: 'upstream_rejected', message: 'm', httpStatus: 422, error } as const;
    expect(faultToError(fault)).toEqual({ error, httpStatus: 422 });
  });

  it.each(rows)(
    'is a complete one of ours otherwise, for %s',
    (code, { type, httpStatus, party }) => {
      const message = party === 'operator' ? operatorsWords(code) : 'It was this.';
      expect(faultToError({ code, message: 'It was this.' })).toEqual({
        error: { message, type, param: null, code },
        httpStatus,
      });
    },
  );

  it.each<[FaultCode, number, number]>([
    ['upstream_auth_failed', 401, 502],
    ['upstream_auth_failed', 403, 502],
    ['upstream_model_not_found', 404, 502],
    ['upstream_quota_exceeded', 429, 502],
    ['provider_not_configured', 500, 502],
  ])(
    'says nothing of an operator’s %s with status %i but that it is a %i',
    (code, status, shown) => {
      const error = { message: 'Bad key sk-…abcd of org-123', type: 'x', param: 'y', code: 'z' };
      const seen = faultToError({ code, message: 'm', httpStatus: status, error, detail: 'd' });
      const ours = { message: operatorsWords(code), type: 'upstream_error', param: null, code };
      expect(seen).toEqual({ error: ours, httpStatus: shown });
    },
  );

  it.each<[FaultCode, number, number]>([
    ['upstream_rejected', 422, 422],
    ['upstream_rejected', 500, 400],
    ['content_filtered', 403, 400],
    ['context_length_exceeded', 429, 400],
    ['target_unsuited', 413, 413],
    ['upstream_server_error', 408, 502],
    ['upstream_server_error', 500, 500],
    ['upstream_overloaded', 529, 529],
    ['upstream_rate_limited', 200, 429],
    ['upstream_invalid_response', 999, 502],
  ])('has for %s with the provider’s status %i the status %i', (code, httpStatus, shown) => {
    expect(faultToError({ code, message: 'm', httpStatus }).httpStatus).toBe(shown);
  });
});

const told = (code: string | null, type = 'invalid_request_error'): OpenAiError => ({
  message: 'm',
  type,
  param: null,
  code,
});

describe('an error status', () => {
  it.each<[string, number, OpenAiError | undefined, FaultCode]>([
    ['OpenAI, too long', 400, told('context_length_exceeded'), 'context_length_exceeded'],
    ['OpenAI, a string too long', 400, told('string_above_max_length'), 'context_length_exceeded'],
    [
      'OpenAI, too long and named by type',
      413,
      told(null, 'context_length_exceeded'),
      'context_length_exceeded',
    ],
    ['Azure, filtered', 400, told('content_filter', ''), 'content_filtered'],
    ['OpenAI, filtered', 400, told('content_policy_violation'), 'content_filtered'],
    ['Azure, filtered with a 500', 500, told('ResponsibleAIPolicyViolation'), 'content_filtered'],
    ['OpenAI, rate limited', 429, told('rate_limit_exceeded', 'tokens'), 'upstream_rate_limited'],
    ['a 429 without a body', 429, undefined, 'upstream_rate_limited'],
    [
      'OpenAI, out of money',
      429,
      told('insufficient_quota', 'insufficient_quota'),
      'upstream_quota_exceeded',
    ],
    ['OpenAI, hard limit', 400, told('billing_hard_limit_reached'), 'upstream_quota_exceeded'],
    ['DeepSeek, out of money', 402, told('invalid_request_error'), 'upstream_quota_exceeded'],
    ['OpenAI, wrong key', 401, told('invalid_api_key'), 'upstream_auth_failed'],
    [
      'a forbidden country',
      403,
      told('unsupported_country_region_territory'),
      'upstream_auth_failed',
    ],
    ['OpenAI, no such model', 404, told('model_not_found'), 'upstream_model_not_found'],
    ['a timeout of theirs', 408, undefined, 'upstream_server_error'],
    ['a conflict', 409, undefined, 'upstream_server_error'],
    ['OpenAI, broken', 500, told(null, 'server_error'), 'upstream_server_error'],
    ['a gateway in front', 502, undefined, 'upstream_server_error'],
    ['Cloudflare in front', 524, undefined, 'upstream_server_error'],
    ['overloaded', 503, told(null, 'server_error'), 'upstream_overloaded'],
    ['Anthropic, overloaded', 529, told(null, 'overloaded_error'), 'upstream_overloaded'],
    [
      'Anthropic, overloaded in a stream',
      500,
      told(null, 'overloaded_error'),
      'upstream_overloaded',
    ],
    ['a bad request', 400, told('invalid_type'), 'upstream_rejected'],
    ['a bad request without a body', 400, undefined, 'upstream_rejected'],
    ['unprocessable', 422, told(null), 'upstream_rejected'],
    ['a redirect', 302, undefined, 'upstream_invalid_response'],
  ])('%s: %i', (_, status, error, code) => {
    expect(classifyStatus(status, error)).toBe(code);
  });

  it('is never judged by what the message says', () => {
    const error = {
      ...told(null),
      message: 'maximum context length is 8192 tokens; content_filter',
    };
    expect(classifyStatus(400, error)).toBe('upstream_rejected');
  });
});
