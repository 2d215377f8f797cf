import { reasoningPartFields } from '@millrace/shared/domain/chunk';
import type { JsonObject } from '@millrace/shared/domain/chunk';
import { leavesOf, saysNothing } from './parts.ts';
import type { Leaf } from './parts.ts';
import { key, reasoningNames, textsOf } from './delivered.ts';
import type { PartField, Shown } from './delivered.ts';

/*
 * Reasoning comes as a text under one of several names, as a list of parts, or as both. A stream keeps
 * the form in which its reasoning was first shown, whichever provider continues it.
 */

export type ReasoningForm = {
  /** The names under which a choice's reasoning is a text. */
  namesOf(index: number, delta: JsonObject): readonly string[];
  /** The delta with the parts that readers have of the same text, where it brings only the text. */
  inShownForm(index: number, delta: JsonObject): JsonObject;
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

export function createReasoningForm(shown: Shown): ReasoningForm {
  const names = new Map(shown.reasoningNames);
  const mirrors = new Map<number, Mirror[]>();
  for (const index of shown.begun) mirrors.set(index, mirrorsIn(shown, index));
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
    inShownForm(index, delta) {
      const text = textsOf(delta).find(([channel]) => channel === 'reasoning')?.[1];
      if (text === undefined) return delta;
      const lists = (mirrors.get(index) ?? [])
        .filter(({ field }) => saysNothing(delta[field]))
        .map(({ field, frame }) => [field, [{ ...frame.labels, [frame.field]: text }]]);
      return lists.length === 0 ? delta : { ...delta, ...Object.fromEntries(lists) };
    },
    keepsAside(index, field, parts, wasBehind) {
      const where = key(index, field);
      const kept = aside.get(where);
      if (!kept && !wasBehind) return false;
      if (kept) kept.push(...parts);
      else aside.set(where, [...parts]);
      asideChars += JSON.stringify(parts).length;
      return true;
    },
    signedAside: (index) =>
      reasoningPartFields.flatMap((field): [PartField, readonly unknown[]][] => {
        const parts = aside.get(key(index, field)) ?? [];
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

function mirrorsIn({ texts, parts }: Shown, index: number): Mirror[] {
  const reasoning = texts.get(key(index, 'reasoning'));
  return reasoningPartFields.flatMap((field) => {
    const [leaf, ...more] = parts.get(key(index, field)) ?? [];
    if (!leaf?.frame || more.length > 0 || leaf.value !== reasoning) return [];
    return [{ field, frame: leaf.frame }];
  });
}
