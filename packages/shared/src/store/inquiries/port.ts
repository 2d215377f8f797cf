import type { Inquiry } from '../../domain/inquiry.ts';
import type { ProcessRole } from '../fleet/port.ts';

/** The answer of one process; `value` is what it sent, which may be of another version. */
export type ProcessAnswer = { name: string; value: unknown };

export type Asked = {
  /** Sorted by the names of the processes. */
  answers: readonly ProcessAnswer[];
  /** How many processes of the role have received the inquiry: more than the answers if some are too busy. */
  heard: number;
};

export type Inquiries = {
  /** Asks all processes of a role that listen, and waits for their answers, for a bounded time. */
  ask(role: Exclude<ProcessRole, 'admin'>, inquiry: Inquiry): Promise<Asked>;
};

/** A process' side: answers the inquiry in a message of its channel. */
export type Respondent = { receive(message: string): void };

/** Prefix of an inquiry on the channel of a process; its id and its JSON follow. It is no request id, order or report question. */
export const inquiryMessage = 'inquiry ';
