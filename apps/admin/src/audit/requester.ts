import { localActor } from '@millrace/shared/domain/audit';
import { controlPlaneActor, controlPlaneClient } from '@millrace/shared/store/control-plane';
import type { FastifyRequest } from 'fastify';

/** Who sent a request, as the ingress has authenticated it. */
export function requesterOf({ headers }: FastifyRequest): {
  actor: string;
  address: string | undefined;
} {
  const actor = textOf(headers[controlPlaneActor]);
  return {
    actor: actor === undefined ? localActor : decoded(actor),
    address: textOf(headers[controlPlaneClient]),
  };
}

/** An ingress of another version may send a name as it is. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const textOf = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
