import { Panel } from '../../ui/panel.tsx';
import { useQueryState } from '../../ui/query-state.ts';
import { contains, fieldsOf, readingOf, textOf } from './fields.ts';

/** The config that runs, as a tree. With a filter, only the fields that have its text, all open. */
export function ConfigTree({ config }: { config: Readonly<Record<string, unknown>> }) {
  const [filter, setFilter] = useQueryState('q');
  const wanted = filter.trim().toLowerCase();
  const shown = Object.entries(config).filter(([name, value]) => contains(name, value, wanted));
  return (
    <Panel
      title="The config that runs"
      note="of the control plane, with all defaults and without secrets; durations are in milliseconds here"
    >
      <div class="filter-bar">
        <input
          data-filter
          type="search"
          aria-label="Filter the fields"
          placeholder="A field or a value"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      </div>
      <div class="config-tree">
        {shown.map(([name, value]) => (
          <Field key={name} name={name} value={value} wanted={wanted} depth={0} />
        ))}
        {shown.length === 0 && <p class="note">No field matches.</p>}
      </div>
    </Panel>
  );
}

type FieldProps = { name: string; value: unknown; wanted: string; depth: number };

function Field({ name, value, wanted, depth }: FieldProps) {
  const fields = fieldsOf(value);
  if (!fields) {
    const reading = readingOf(name, value);
    return (
      <div class="leaf">
        <span class="name">{name}:</span> <span class="value">{textOf(value)}</span>
        {reading !== undefined && <span class="note"> {reading}</span>}
      </div>
    );
  }
  // Below a field whose name is wanted, all are shown.
  const below = name.toLowerCase().includes(wanted) ? '' : wanted;
  return (
    <details key={wanted === '' ? 'all' : 'filtered'} open={wanted !== '' && depth < 4}>
      <summary>
        <span class="name">{name}:</span>{' '}
        <span class="note">
          {fields.length} {Array.isArray(value) ? 'in the list' : 'inside'}
        </span>
      </summary>
      {fields
        .filter(([inner, of]) => contains(inner, of, below))
        .map(([inner, of], index) => (
          <Field
            key={`${index} ${inner}`}
            name={inner}
            value={of}
            wanted={below}
            depth={depth + 1}
          />
        ))}
    </details>
  );
}
