import type { JsonObject } from '@millrace/shared/domain/json';
import type { InnerRequest } from '../../client-port.ts';

/** Collects what a request has that only Anthropic's format can express. */
export class Inexpressible {
  first: InnerRequest['inexpressible'];

  add(param: string, what: string): void {
    this.first ??= { param, message: `Only a provider with Anthropic's API has ${what}.` };
  }

  /** Adds the members of these names that are present. */
  members(body: JsonObject, names: readonly string[]): void {
    for (const name of names) {
      if (body[name] !== undefined && body[name] !== null) this.add(name, `'${name}'`);
    }
  }
}
