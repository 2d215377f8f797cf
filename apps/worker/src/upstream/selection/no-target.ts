import type { Fault } from '@millrace/shared/domain/fault';

/* The faults of requests that waited for a target. */

export const noTarget: Fault = {
  code: 'no_target_available',
  message:
    'No target of the model can be asked now: all are broken, at their limits or taken out of service by operators.',
};

export const tooLate: Fault = {
  code: 'deadline_exceeded',
  message: 'The deadline of the request passed while no target could be asked.',
};
