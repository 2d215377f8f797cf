import type { JsonObject } from '@millrace/shared/domain/json';
import { reasoningPartFields } from '@millrace/formats/openai-chat/chunk';
import { leavesOf, isBlank } from './parts.ts';
import type { Leaf } from './parts.ts';
import { channelKey, reasoningNames, textsOf } from './delivered.ts';
import type { PartField, Delivered } from './delivered.ts';

/*
 * Providers send reasoning as text in a field of one of several names, as a list of parts, or as both. A
 * stream keeps the form in which its reasoning was first delivered, whichever provider continues it.
 */

export type ReasoningForm = {
  /** The fields in which a choice's reasoning is sent as text. */
  namesOf(index: number, delta: JsonObject): readonly string[];
  /** The delta with parts added if readers have the same text as parts and the delta brings only the text. */
  inDeliveredForm(index: number, delta: JsonObject): JsonObject;
  /**
   * Whether parts of a field of which nothing was delivered are kept for the end, because they began when
   * readers already had the same reasoning as text.
   */
  keepsAside(
    index: number,
    field: PartField,
    parts: readonly unknown[],
    wasBehind: boolean,
  ): boolean;
  /** The complete parts among them that the client must send back in the next turn: signed or encrypted ones. */
  signedAside(index: number): [PartField, readonly unknown[]][];
  /** Characters of the parts that are kept for the end. */
  readonly asideChars: number;
};

export function createReasoningForm(delivered: Delivered): ReasoningForm {
  const names = new Map(delivered.reasoningNames);
  const mirrors = new Map<number, Mirror[]>();
  for (const index of delivered.begun) mirrors.set(index, mirrorsIn(delivered, index));
  const aside = new Map<string, unknown[]>();
  let asideChars = 0;
  return {
    namesOf(index, delta) {
      const known = names.get(index);
      if (known) return known;
      const own = reasoningNames(delta);
      if (own.length > 0) names.set(index, own);
      return own;
    },
    inDeliveredForm(index, delta) {
      const text = textsOf(delta).find(([channel]) => channel === 'reasoning')?.[1];
      if (text === undefined) return delta;
      const lists = (mirrors.get(index) ?? [])
        .filter(({ field }) => isBlank(delta[field]))
        .map(({ field, frame }) => [field, [{ ...frame.labels, [frame.field]: text }]]);
      return lists.length === 0 ? delta : { ...delta, ...Object.fromEntries(lists) };
    },
    keepsAside(index, field, parts, wasBehind) {
      const where = channelKey(index, field);
      const kept = aside.get(where);
      if (!kept && !wasBehind) return false;
      if (kept) kept.push(...parts);
      else aside.set(where, [...parts]);
      asideChars += JSON.stringify(parts).length;
      return true;
    },
    signedAside: (index) =>
      reasoningPartFields.flatMap((field): [PartField, readonly unknown[]][] => {
        const parts = aside.get(channelKey(index, field)) ?? [];
        const isSigned = leavesOf(parts).some(({ kind }) => kind !== 'text');
        return isSigned ? [[field, parts]] : [];
      }),
    get asideChars() {
      return asideChars;
    },
  };
}

/** A list of parts with the same text as the text field, and no more. */
type Mirror = { field: PartField; frame: NonNullable<Leaf['frame']> };

function mirrorsIn({ texts, parts }: Delivered, index: number): Mirror[] {
  const reasoning = texts.get(channelKey(index, 'reasoning'));
  return reasoningPartFields.flatMap((field) => {
    const [leaf, ...more] = parts.get(channelKey(index, field)) ?? [];
    if (!leaf?.frame || more.length > 0 || leaf.value !== reasoning) return [];
    return [{ field, frame: leaf.frame }];
  });
}
