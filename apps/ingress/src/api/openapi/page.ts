import type { Document, DocumentedOperation, DocumentedResponse } from './document.ts';
import type { Schema } from './operation.ts';

/* The OpenAPI document as a page: HTML without scripts, so that it works behind any policy and asks no other host. */

export const pageStyle = `
:root{color-scheme:light dark;--ground:light-dark(#f3f6f6,#0a1211);--surface:light-dark(#fff,#111b1a);
--ink:light-dark(#10201f,#e4efed);--muted:light-dark(#506463,#9db3b0);--line:light-dark(#dbe4e3,#24332f);
--accent:light-dark(#00695f,#4fd1bd);--soft:light-dark(#e8eeed,#1a2725);
--mono:ui-monospace,'SF Mono','Cascadia Mono','DejaVu Sans Mono',Menlo,monospace}
*{box-sizing:border-box}html{scroll-padding-top:1rem}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
a{color:var(--accent)}a:focus-visible,summary:focus-visible,pre:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
header,main,nav{padding:1.25rem}
header{padding-inline:max(1.25rem,calc(50% - 35.25rem));border-bottom:1px solid var(--line);background:var(--surface)}header p{max-width:46rem}
h1,h2,h3,h4{line-height:1.25;margin:0 0 .5rem}h1{font-size:1.7rem}h2{font-size:1.35rem;margin-top:2.5rem}
h3{font-size:1.05rem}h4{font-size:.95rem;margin-top:1.25rem}p{margin:.4rem 0}
code,pre,.path{font-family:var(--mono);font-size:.86em}code{background:var(--soft);border-radius:4px;padding:.1em .3em}
pre{background:var(--soft);border-radius:8px;padding:.8rem;overflow-x:auto;white-space:pre}
nav ul{list-style:none;margin:0 0 1rem;padding:0}nav li{margin:.15rem 0;font-size:.9rem}nav strong{font-size:.9rem}
section.operation{background:var(--surface);border:1px solid var(--line);border-radius:10px;padding:1rem 1.1rem;margin:1rem 0}
.method{font:600 .78rem var(--mono);color:var(--accent);border:1px solid var(--accent);border-radius:5px;padding:.1em .45em;margin-right:.5em}
.muted{color:var(--muted)}dl{margin:.3rem 0}dt{font-weight:600;margin-top:.55rem}dd{margin:.1rem 0 0 1rem}
details{margin:.4rem 0}summary{cursor:pointer}
.members{border-left:2px solid var(--line);padding-left:.8rem;margin:.3rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
@media(min-width:62rem){.page{display:grid;grid-template-columns:17rem minmax(0,56rem);justify-content:center}
nav{position:sticky;top:0;max-height:100vh;overflow-y:auto;align-self:start}}
`;

/** How deep schemas are shown before a link to their own place takes over. */
const maxDepth = 4;

type Listed = { method: string; path: string; operation: DocumentedOperation };

export function renderPage(document: Document): string {
  const { info, tags } = document;
  const all = operationsOf(document);
  const ofTag = (name: string) => all.filter(({ operation }) => operation.tags.includes(name));
  const used = tags.filter(({ name }) => ofTag(name).length > 0);
  const links = used
    .map(
      ({ name }) =>
        `<strong>${escape(name)}</strong><ul>${ofTag(name)
          .map(
            ({ method, path, operation }) =>
              `<li><a href="#${operation.operationId}">${method} ${escape(path)}</a></li>`,
          )
          .join('')}</ul>`,
    )
    .join('');
  const sections = used
    .map(
      ({ name, description }) =>
        `<h2>${escape(name)}</h2>${prose(description)}${ofTag(name).map(renderOperation).join('')}`,
    )
    .join('');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(info.title)}: the API</title><link rel="icon" href="data:,"><style>${pageStyle}</style></head><body>
<header><h1>${escape(info.title)}: the API</h1>${prose(info.description)}
<p class="muted">Version ${escape(info.version)} · <a href="openapi.json">OpenAPI document</a></p></header>
<div class="page"><nav aria-label="Operations">${links}<strong>More</strong><ul><li><a href="#access">Access</a></li>
<li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li></ul></nav>
<main>${renderAccess(document)}${sections}${renderErrors(document)}${renderSchemas(document)}</main></div></body></html>
`;
}

const operationsOf = ({ paths }: Document): Listed[] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );

function renderAccess({ components }: Document): string {
  const rows = Object.entries(components.securitySchemes).map(
    ([name, { description, name: member = 'Authorization: Bearer …' }]) =>
      `<dt id="access-${name}"><code>${escape(member)}</code></dt><dd>${inline(description)}</dd>`,
  );
  return `<h2 id="access">Access</h2><dl>${rows.join('')}</dl>`;
}

function renderOperation({ method, path, operation }: Listed): string {
  const {
    operationId,
    summary,
    description,
    externalDocs,
    parameters = [],
    requestBody,
    responses,
    security,
  } = operation;
  const body = requestBody?.content['application/json'];
  return `<section class="operation" id="${operationId}" aria-labelledby="${operationId}-title">
<h3 id="${operationId}-title"><span class="method">${method}</span><span class="path">${escape(path)}</span></h3>
<p>${inline(summary)}.${security.length === 0 ? ' <span class="muted">Needs no key.</span>' : ''}</p>
${description === undefined ? '' : prose(description)}
${externalDocs ? `<p><a href="${escape(externalDocs.url)}">${escape(externalDocs.description)}</a></p>` : ''}
${parameters.length > 0 ? `<h4>Parameters</h4><dl>${parameters.map(renderParameter).join('')}</dl>` : ''}
${body ? `<h4>Body${requestBody?.required ? '' : ' <span class="muted">(optional)</span>'}</h4>${renderSchema(body.schema)}` : ''}
${body?.example === undefined ? '' : `<pre tabindex="0">${escape(curl(method, path, body.example))}</pre>`}
<h4>Answers</h4><dl>${Object.entries(responses).map(renderResponse).join('')}</dl>
</section>`;
}

const curl = (method: string, path: string, example: unknown): string =>
  `curl ${method === 'POST' ? '' : `-X ${method} `}$URL${path} \\
  -H "authorization: Bearer $KEY" -H 'content-type: application/json' \\
  -d '${JSON.stringify(example).replaceAll("'", String.raw`'\''`)}'`;

function renderParameter({
  name,
  in: place,
  description,
  schema,
}: Record<string, unknown>): string {
  return `<dt><code>${escape(String(name))}</code> <span class="muted">${escape(String(place))}</span></dt>
<dd>${inline(String(description))} <span class="muted">${describeType(schema as Schema)}</span></dd>`;
}

function renderResponse([status, { description, content = {} }]: [
  string,
  DocumentedResponse,
]): string {
  const bodies = Object.entries(content).map(
    ([type, { schema }]) =>
      `<div><span class="muted">${escape(type)}:</span> ${renderSchema(schema)}</div>`,
  );
  return `<dt>${escape(status)}</dt><dd>${inline(description)}${bodies.join('')}</dd>`;
}

function renderErrors(document: Document): string {
  const rows = document['x-errors'] as {
    code: string | null;
    status: number;
    retryable: boolean;
  }[];
  const lines = rows
    .filter(({ code }) => code !== null)
    .map(
      ({ code, status, retryable }) =>
        `<tr><td><code>${escape(code ?? '')}</code></td><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td></tr>`,
    );
  return `<h2 id="errors">Errors</h2><p>Retry: whether the same request can succeed later.</p>
<div class="scroll"><table><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Retry</th></tr></thead>
<tbody>${lines.join('')}</tbody></table></div>`;
}

const renderSchemas = ({ components }: Document): string =>
  `<h2 id="schemas">Schemas</h2>${Object.entries(components.schemas)
    .map(
      ([name, schema]) =>
        `<section class="operation" id="schema-${name}"><h3>${escape(name)}</h3>${renderSchema(schema)}</section>`,
    )
    .join('')}`;

/** A schema in words, with its members below. */
function renderSchema(schema: Schema, depth = 0): string {
  const { description, properties, items } = schema;
  const alternatives = (schema['oneOf'] ?? schema['anyOf'] ?? schema['allOf']) as
    | Schema[]
    | undefined;
  const required = (schema['required'] ?? []) as string[];
  let text = describeType(schema);
  if (typeof description === 'string') text += ` ${inline(description)}`;
  if (depth >= maxDepth) return text;
  if (properties !== undefined) {
    const members = Object.entries(properties as Record<string, Schema>).map(
      ([name, member]) =>
        `<dt><code>${escape(name)}</code>${required.includes(name) ? '' : ' <span class="muted">optional</span>'}</dt><dd>${renderSchema(member, depth + 1)}</dd>`,
    );
    text += `<dl class="members">${members.join('')}</dl>`;
  }
  if (alternatives?.some(({ properties: some }) => some !== undefined) === true) {
    text += alternatives
      .map((one) => `<div class="members">${renderSchema(one, depth + 1)}</div>`)
      .join('');
  }
  if (isSchema(items) && items['properties'] !== undefined) {
    text += `<div class="members">${renderSchema(items, depth + 1)}</div>`;
  }
  return text;
}

const isSchema = (value: unknown): value is Schema => typeof value === 'object' && value !== null;

/** A short name of a schema's type. */
function describeType(schema: Schema): string {
  const { $ref, type, enum: values, items, minimum, maximum } = schema;
  if (typeof $ref === 'string') {
    const name = $ref.split('/').at(-1) ?? '';
    return `<a href="#schema-${name}">${escape(name)}</a>`;
  }
  if ('const' in schema) return code(schema['const']);
  if (Array.isArray(values)) return values.map(code).join(' | ');
  const alternatives = (schema['oneOf'] ?? schema['anyOf'] ?? schema['allOf']) as
    | Schema[]
    | undefined;
  if (type === undefined && alternatives) {
    return [...new Set(alternatives.map(describeType))].join(schema['allOf'] ? ' and ' : ' or ');
  }
  if (type === 'array' && isSchema(items)) return `array of ${describeType(items)}`;
  const names = [(type ?? 'any') as string | string[]].flat().join(' or ');
  if (typeof minimum !== 'number') return escape(names);
  return `${escape(names)}, from ${minimum}${typeof maximum === 'number' ? ` to ${maximum}` : ''}`;
}

const code = (value: unknown): string => `<code>${escape(JSON.stringify(value))}</code>`;

const prose = (text: string): string =>
  text
    .split('\n\n')
    .map((one) => `<p>${inline(one)}</p>`)
    .join('');

/** The text with its code spans. */
const inline = (text: string): string => escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (one) => entities[one] ?? one);
