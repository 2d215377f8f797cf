import type { JsonObject } from '@millrace/shared/domain/json';
import { reasoningPartFields } from '@millrace/formats/openai-chat/chunk';
import { leavesOf, isBlank } from './parts.ts';
import type { Leaf } from './parts.ts';
import { channelKey, reasoningNames, textsOf } from './delivered.ts';
import type { PartField, Delivered } from './delivered.ts';

/*
 * Reasoning comes as a text under one of several names, as a list of parts, or as both. A stream keeps
 * the form in which its reasoning was first shown, whichever provider continues it.
 */

export type ReasoningForm = {
  /** The names under which a choice's reasoning is a text. */
  namesOf(index: number, delta: JsonObject): readonly string[];
  /** The delta with the parts that readers have of the same text, where it brings only the text. */
  inDeliveredForm(index: number, delta: JsonObject): JsonObject;
  /**
   * Whether parts of a field of which nothing was shown are kept for the end: those that began while
   * readers had the same reasoning as a text already.
   */
  keepsAside(
    index: number,
    field: PartField,
    parts: readonly unknown[],
    wasBehind: boolean,
  ): boolean;
  /** Those that the next turn of a conversation has to bring back: signed or encrypted ones, whole. */
  signedAside(index: number): [PartField, readonly unknown[]][];
  /** Characters of what is kept for the end. */
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

/** A list of parts that says what the reasoning as a text says, and no more. */
type Mirror = { field: PartField; frame: NonNullable<Leaf['frame']> };

function mirrorsIn({ texts, parts }: Delivered, index: number): Mirror[] {
  const reasoning = texts.get(channelKey(index, 'reasoning'));
  return reasoningPartFields.flatMap((field) => {
    const [leaf, ...more] = parts.get(channelKey(index, field)) ?? [];
    if (!leaf?.frame || more.length > 0 || leaf.value !== reasoning) return [];
    return [{ field, frame: leaf.frame }];
  });
}
