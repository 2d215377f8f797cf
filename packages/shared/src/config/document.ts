import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type YAMLError,
} from 'yaml';
import { fillReferences, maskReferences, reservedCharacters, unmask } from './environment.ts';

export type Path = readonly (string | number)[];
export type Position = { readonly line: number; readonly column: number };

export type ConfigDocument = {
  /** Plain data; variables are filled in. */
  readonly value: unknown;
  readonly problems: readonly { readonly position: Position; readonly message: string }[];
  /** The position of a field: its key, its list item, or the nearest existing parent. */
  locate(path: Path): Position;
  /** The variables that a field's value was read from. */
  variablesOf(path: Path): readonly string[];
};

/** Never throws: `problems` has what cannot be read, without the surrounding text (it may be a secret). */
export function readDocument(text: string, env: NodeJS.ProcessEnv): ConfigDocument {
  const lines = new LineCounter();
  const reserved = reservedCharacters.exec(text);
  const document = parseDocument(maskReferences(text), {
    lineCounter: lines,
    prettyErrors: false, // they quote the source, secrets included
    merge: true,
  });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems = document.errors.map((error) => ({
    position: position(error.pos[0]),
    message: describeSyntaxError(error, text),
  }));
  if (reserved) {
    const message = 'expected no character from U+E000 to U+E002, which are reserved';
    problems.push({ position: position(reserved.index), message });
  }
  const variables = new Map<unknown, readonly string[]>();
  visit(document, {
    Scalar(role, node) {
      if (typeof node.value !== 'string') return;
      if (role === 'key') {
        const written = unmask(node.value);
        if (written === node.value) return;
        problems.push({
          position: position(node.range?.[0] ?? 0),
          message: 'expected a plain name: only values can be read from the environment',
        });
        return;
      }
      const filled = fillReferences(node.value, env);
      node.value = filled.text;
      if (filled.names.length > 0) variables.set(node, filled.names);
      for (const message of filled.problems) {
        problems.push({ position: position(node.range?.[0] ?? 0), message });
      }
    },
  });
  const plain = problems.length > 0 ? { value: undefined } : toPlain(document);
  if ('problem' in plain) problems.push({ position: position(0), message: plain.problem });
  return {
    value: 'value' in plain ? plain.value : undefined,
    problems,
    locate: (path) => position(find(document, path).offset),
    variablesOf: (path) => variables.get(find(document, path).node) ?? [],
  };
}

function toPlain(document: Document): { value: unknown } | { problem: string } {
  try {
    return { value: document.toJS() ?? {} };
  } catch {
    return {
      problem: 'expected aliases (*name) of anchors (&name) that exist, and only a few of them',
    };
  }
}

function find(document: Document, path: Path): { offset: number; node: unknown } {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const [depth, segment] of path.entries()) {
    const step = child(isAlias(node) ? node.resolve(document) : node, segment);
    if (!step) return { offset, node: depth === 0 ? node : undefined };
    offset = step.offset ?? offset;
    node = step.node;
  }
  return { offset, node: isAlias(node) ? node.resolve(document) : node };
}

function child(
  node: unknown,
  segment: string | number,
): { offset?: number; node: unknown } | undefined {
  if (isSeq(node)) {
    const item: unknown = node.items[Number(segment)];
    return item === undefined ? undefined : { offset: startOf(item), node: item };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment));
  return pair && { offset: startOf(pair.key), node: pair.value };
}

function startOf(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node)
    ? node.range?.[0]
    : undefined;
}

/** The parser's message without the pieces of the file that it may quote. */
function describeSyntaxError(error: YAMLError, text: string): string {
  if (error.code === 'DUPLICATE_KEY') {
    const name = /^["']?([^"':\s,{}]+)/.exec(text.slice(error.pos[0]))?.[1];
    return `${name ?? 'a name'} is given twice in one mapping`;
  }
  if (error.code === 'MULTIPLE_DOCS') return 'expected one YAML document, found a second one (---)';
  return `expected YAML: ${error.message.replace(/:\s.*$/s, '').replace(/ \(.*$/s, '')}`;
}
