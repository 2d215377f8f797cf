import type { JsonObject } from '@millrace/shared/domain/json';
import type { InnerRequest } from './client-port.ts';

/** Collects what a client's request has that only its own format can express. */
export class Inexpressible {
  first: InnerRequest['inexpressible'];
  private readonly api: string;

  /** `api`: the format's name in a sentence, as "Anthropic's API". */
  constructor(api: string) {
    this.api = api;
  }

  add(param: string, what: string): void {
    this.first ??= { param, message: `Only a provider with ${this.api} has ${what}.` };
  }

  /** Adds the members of these names that are present. */
  members(body: JsonObject, names: readonly string[]): void {
    for (const name of names) {
      if (body[name] !== undefined && body[name] !== null) this.add(name, `'${name}'`);
    }
  }
}
