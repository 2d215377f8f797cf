import type { InnerRequest } from '../../client-port.ts';

/** Collects what a request has that only Gemini's format can express. */
export class Inexpressible {
  first: InnerRequest['inexpressible'];

  add(param: string, what: string): void {
    this.first ??= { param, message: `Only a provider with Gemini's API has ${what}.` };
  }
}
