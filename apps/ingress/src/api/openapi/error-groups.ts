import type { ErrorCode } from '../../errors.ts';

/* The errors that routes have in common. */

/** Of every request. */
export const ofAny = [
  'invalid_http',
  'invalid_url',
  'request_timeout',
  'request_head_too_large',
  'internal_error',
] as const satisfies readonly ErrorCode[];

/** Of every route of clients: authentication, and the limits that need no body. */
export const ofClients = [
  'invalid_api_key',
  'api_key_revoked',
  'api_key_expired',
  'admin_only',
  'address_not_allowed',
  'foreign_page',
  'loopback_only',
  'untrusted_proxy',
  'too_many_logins',
  'too_many_connections',
  'too_many_requests_on_connection',
  'server_shutting_down',
] as const satisfies readonly ErrorCode[];

/** Of every route with a JSON body. */
export const ofBodies = [
  'invalid_request',
  'invalid_json',
  'request_too_deep',
  'request_too_large',
  'request_too_complex',
  'unsupported_content_type',
  'unsupported_content_encoding',
  'ingress_overloaded',
  'server_busy',
] as const satisfies readonly ErrorCode[];

/** Of every route that creates a request. */
export const ofAdmission = [
  'invalid_value',
  'invalid_type',
  'missing_required_parameter',
  'empty_array',
  'deadline_passed',
  'invalid_idempotency_key',
  'max_cost_exceeded',
  'price_unknown',
  'priority_not_allowed',
  'model_not_found',
  'idempotency_key_reused',
  'rate_limit_exceeded',
  'insufficient_quota',
  'budget_reserved',
  'budget_unconfirmed',
  'queue_full',
  'queue_share_exceeded',
  'queue_wait_too_long',
  'deadline_unreachable',
  'queue_unavailable',
] as const satisfies readonly ErrorCode[];

/** The ends of a request whose client waits for its answer. */
export const ofAnswers = [
  'invalid_cursor',
  'cursor_ahead',
  'request_cancelled',
  'poisoned_request',
  'job_removed',
  'job_failed',
  'stream_lost',
  'server_draining',
  'deadline_exceeded',
  'answer_overdue',
] as const satisfies readonly ErrorCode[];

/** Of every route with the id of a request. */
export const ofJobs = [
  'job_not_found',
  'job_expired',
  'queue_unavailable',
] as const satisfies readonly ErrorCode[];

/** Errors that no answer of a route of clients has: of frames, of streams, of the log, and of paths below `/admin`. */
export const elsewhere = {
  onWebSockets: [
    'unknown_frame_type',
    'too_many_requests_on_socket',
    'request_ended',
    'websocket_connection_limit_reached',
    'websocket_stream_limit_reached',
  ],
  inStreams: ['reader_too_slow'],
  inLogs: ['client_gone'],
  belowAdmin: [
    'session_expired',
    'wrong_password',
    'no_admin',
    'no_control_plane',
    'control_plane_silent',
  ],
  onOtherRoutes: ['unknown_url', 'method_not_supported'],
} as const satisfies Record<string, readonly ErrorCode[]>;

/** Statuses that an error has beside that of its row. */
export const otherStatuses: Partial<Record<ErrorCode, readonly number[]>> = {
  invalid_http: [417, 505],
  invalid_url: [414],
  queue_full: [429],
  queue_share_exceeded: [429],
  queue_wait_too_long: [429],
  deadline_unreachable: [429],
};
