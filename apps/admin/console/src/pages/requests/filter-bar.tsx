import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { usePoll } from '../../api/use-poll.ts';
import { maxFilterChars, parseFilter } from './filter.ts';
import { suggestionsAt } from './suggestions.ts';
import type { KnownValues, Suggestion } from './suggestions.ts';

/** Milliseconds without a key press after which the list follows the bar. */
const settleMs = 350;

type Names = { config: { models?: object; providers?: object } };
type Keys = { data: { id: string }[] };

/** The bar with the filter's text: suggests names and values, and shows parts that are not valid. */
export function FilterBar({
  text,
  seen,
  apply,
}: {
  text: string;
  /** Values on the page; those of the config and the keys are asked for when the bar is used. */
  seen(): KnownValues;
  apply(text: string): void;
}) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [draft, setDraft] = useState(text);
  const [caret, setCaret] = useState(text.length);
  const [isUsed, setUsed] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const [marked, setMarked] = useState(-1);
  const applied = useRef(text);
  const named = useNamedValues(isUsed);
  const suggestions = isOpen ? suggestionsAt(draft, caret, together(named, seen())) : [];

  // A quick filter or the browser's Back changed the page's state.
  useEffect(() => {
    if (text !== applied.current) setDraft(text);
    applied.current = text;
  }, [text]);

  const commit = (next: string) => {
    const trimmed = next.trim();
    if (trimmed === applied.current) return;
    applied.current = trimmed;
    apply(trimmed);
  };
  useEffect(() => {
    const timer = setTimeout(() => commit(draft), settleMs);
    return () => clearTimeout(timer);
  }, [draft]);

  const choose = (suggestion: Suggestion) => {
    setDraft(suggestion.text);
    setCaret(suggestion.caret);
    setMarked(-1);
    // After a value the term is whole; after a name its value is to be chosen.
    setOpen(!suggestion.text.slice(0, suggestion.caret).endsWith(' '));
    const element = input.current;
    if (!element) return;
    element.value = suggestion.text;
    element.focus();
    element.setSelectionRange(suggestion.caret, suggestion.caret);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    const suggestion = suggestions[marked];
    if (by !== 0) {
      event.preventDefault();
      if (!isOpen) setOpen(true);
      const length = suggestions.length;
      if (length > 0) setMarked((marked + by + length + (marked < 0 && by < 0 ? 1 : 0)) % length);
    } else if ((event.key === 'Enter' || event.key === 'Tab') && suggestion) {
      event.preventDefault();
      choose(suggestion);
    } else if (event.key === 'Enter') {
      setOpen(false);
      commit(draft);
    } else if (event.key === 'Escape') {
      // Back to the list, where j and k move.
      input.current?.blur();
    }
  };

  // What is still being typed is not yet wrong.
  const problems = parseFilter(draft).problems.filter(
    ({ start, source }) => !isOpen || caret < start || caret > start + source.length,
  );
  return (
    <div class="filter">
      <input
        ref={input}
        data-filter
        // Not a search field, which the Escape key empties.
        type="text"
        role="combobox"
        list={undefined}
        aria-label="Filter"
        aria-autocomplete="list"
        aria-expanded={suggestions.length > 0}
        aria-controls={`${id}-list`}
        aria-activedescendant={marked >= 0 ? `${id}-${marked}` : undefined}
        aria-invalid={problems.length > 0 ? true : undefined}
        aria-describedby={problems.length > 0 ? `${id}-problems` : undefined}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        maxLength={maxFilterChars}
        placeholder="model:x  status:error  -key:y  free text"
        value={draft}
        onInput={(event) => {
          setDraft(event.currentTarget.value);
          setCaret(event.currentTarget.selectionStart ?? 0);
          setMarked(-1);
          setOpen(true);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
        onFocus={() => setUsed(true)}
        onClick={() => setOpen(true)}
        onBlur={() => {
          setOpen(false);
          commit(draft);
        }}
        onKeyDown={onKeyDown}
      />
      <ul
        class="suggestions"
        id={`${id}-list`}
        role="listbox"
        aria-label="Suggestions"
        hidden={suggestions.length === 0}
      >
        {suggestions.map((suggestion, index) => (
          <li
            key={suggestion.label}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === marked}
            // A click would take the focus from the bar first.
            onMouseDown={(event) => {
              event.preventDefault();
              choose(suggestion);
            }}
          >
            <code>{suggestion.label}</code>
            {suggestion.note !== undefined && <span class="note">{suggestion.note}</span>}
          </li>
        ))}
      </ul>
      {problems.length > 0 && (
        <ul class="problems" id={`${id}-problems`} role="status">
          {problems.map(({ start, source, problem }) => (
            <li key={start}>
              <code>{source}</code> is left out: {problem}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function useNamedValues(isUsed: boolean): KnownValues {
  const config = usePoll<Names>(isUsed ? 'config' : undefined).data?.config;
  const keys = usePoll<Keys>(isUsed ? 'keys' : undefined).data?.data ?? [];
  return {
    model: Object.keys(config?.models ?? {}),
    provider: Object.keys(config?.providers ?? {}),
    key: keys.map(({ id }) => id),
  };
}

function together(named: KnownValues, seen: KnownValues): KnownValues {
  const union = (name: keyof KnownValues) => [
    ...new Set([...(named[name] ?? []), ...(seen[name] ?? [])]),
  ];
  return { ...seen, model: union('model'), provider: union('provider'), key: union('key') };
}
