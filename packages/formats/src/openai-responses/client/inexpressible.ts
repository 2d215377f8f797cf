import type { InnerRequest } from '../../client-port.ts';

/** Collects what a request has that only the Responses API can express. */
export class Inexpressible {
  first: InnerRequest['inexpressible'];

  add(param: string, what: string): void {
    this.first ??= { param, message: `Only a provider with the Responses API has ${what}.` };
  }
}
