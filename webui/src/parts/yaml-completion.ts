// Completion of a job file from its JSON Schema: the keys and values that may stand where the
// cursor is. Works on half-written files, by indentation. Called by `editor.tsx`.
import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  if?: Schema;
  then?: Schema;
  else?: Schema;
}

/** A key above the cursor. Its siblings say which alternative of the schema holds. */
interface Step { key: string; siblings: Record<string, string> }

const KEY = /^(\s*)(-\s+)?(?:"([^"]+)"|'([^']+)'|([\w$.-]+))\s*:(?:\s+(.*))?$/;

interface Line { indent: number; key: string | null; value: string; item: boolean }

function read(text: string): Line | null {
  if (!text.trim() || text.trim().startsWith('#')) return null;
  const match = KEY.exec(text);
  const indent = text.length - text.trimStart().length;
  const item = /^\s*-(\s|$)/.test(text);
  if (!match) return { indent, key: null, value: '', item };
  return {
    indent: match[1].length + (match[2]?.length ?? 0),
    key: match[3] ?? match[4] ?? match[5],
    value: (match[6] ?? '').replace(/\s+#.*$/, '').trim(),
    item,
  };
}

/** Keys of the mapping that the line at `at` with this indent stands in. */
function siblingsOf(lines: (Line | null)[], at: number, indent: number): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (step: number) => {
    for (let i = at + step; i >= 0 && i < lines.length; i += step) {
      const line = lines[i];
      if (!line) continue;
      if (line.indent < indent) return;
      if (line.indent === indent && line.key) found[line.key] = line.value.replace(/^['"]|['"]$/g, '');
      if (line.indent === indent && line.item && step < 0) return;
    }
  };
  walk(-1);
  walk(1);
  return found;
}

/** The keys above a line, outermost first. */
export function pathAt(text: string[], at: number, indent: number): Step[] {
  const lines = text.map(read);
  const path: Step[] = [];
  let below = indent;
  for (let i = at - 1; i >= 0 && below > 0; i -= 1) {
    const line = lines[i];
    if (!line || line.indent >= below) continue;
    if (line.key) path.unshift({ key: line.key, siblings: siblingsOf(lines, i, line.indent) });
    below = line.indent;
  }
  return path;
}

class Reader {
  constructor(private readonly root: Schema) {}

  /** Follows references and takes the alternatives that fit the keys already written. */
  resolve(schema: Schema | undefined, present: Record<string, string>, depth = 0): Schema[] {
    if (!schema || depth > 12) return [];
    if (schema.$ref) return this.resolve(this.find(schema.$ref), present, depth + 1);
    const found: Schema[] = [schema];
    for (const part of schema.allOf ?? []) found.push(...this.resolve(part, present, depth + 1));
    for (const part of [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]) {
      if (this.fits(part, present)) found.push(...this.resolve(part, present, depth + 1));
    }
    if (schema.if) {
      const branch = this.fits(schema.if, present) ? schema.then : schema.else;
      found.push(...this.resolve(branch, present, depth + 1));
    }
    return found;
  }

  private find(reference: string): Schema | undefined {
    const parts = reference.replace(/^#\//, '').split('/');
    return parts.reduce<any>((at, part) => at?.[part], this.root);
  }

  /** No constant of it contradicts what is written. */
  private fits(schema: Schema, present: Record<string, string>): boolean {
    const own = schema.$ref ? this.find(schema.$ref) : schema;
    for (const [key, property] of Object.entries(own?.properties ?? {})) {
      const written = present[key];
      const target = property.$ref ? this.find(property.$ref) : property;
      if (!written || !target) continue;
      if (target.const !== undefined && String(target.const) !== written) return false;
      if (target.enum && !target.enum.some((v) => String(v) === written)) return false;
    }
    return true;
  }

  at(path: Step[], own: Record<string, string>): Schema[] {
    let here = this.resolve(this.root, path[0]?.siblings ?? own);
    path.forEach((step, i) => {
      const below = path[i + 1]?.siblings ?? own;
      here = here.flatMap((s) => {
        const next = s.properties?.[step.key] ?? (typeof s.additionalProperties === 'object' ? s.additionalProperties : undefined);
        return this.resolve(next, below).flatMap((n) => (n.items ? [n, ...this.resolve(n.items, below)] : [n]));
      });
    });
    return here;
  }

  values(schemas: Schema[]): Completion[] {
    const found = new Map<string, Completion>();
    for (const schema of schemas) {
      const all = [...(schema.enum ?? []), ...(schema.const !== undefined ? [schema.const] : [])];
      if (schema.type === 'boolean') all.push(true, false);
      if (schema.default !== undefined && typeof schema.default !== 'object') all.push(schema.default);
      for (const value of all) {
        const label = String(value);
        if (label && !found.has(label)) found.set(label, { label, type: 'constant', detail: value === schema.default ? 'default' : undefined });
      }
    }
    return [...found.values()];
  }

  keys(schemas: Schema[], present: Record<string, string>): Completion[] {
    const found = new Map<string, Completion>();
    for (const schema of schemas) {
      for (const [key, property] of Object.entries(schema.properties ?? {})) {
        if (key in present || found.has(key)) continue;
        const target = this.resolve(property, {});
        const nested = target.some((t) => t.type === 'object' || t.properties);
        const described = target.find((t) => t.description)?.description;
        const preset = target.find((t) => t.default !== undefined)?.default;
        const required = schema.required?.includes(key);
        found.set(key, {
          label: key,
          type: 'property',
          apply: nested ? `${key}:` : `${key}: `,
          detail: required ? 'required' : preset !== undefined ? `default ${JSON.stringify(preset)}` : undefined,
          info: described,
          boost: required ? 2 : 0,
        });
      }
    }
    return [...found.values()];
  }
}

export function completionsOf(context: CompletionContext, schema: Schema | null): CompletionResult | null {
  if (!schema) return null;
  const { state, pos, explicit } = context;
  const line = state.doc.lineAt(pos);
  const before = line.text.slice(0, pos - line.from);
  const word = /[\w$.-]*$/.exec(before)?.[0] ?? '';
  if (!explicit && word === '' && !/:\s$/.test(before)) return null;
  const text = state.doc.toString().split('\n');
  const at = line.number - 1;
  const reader = new Reader(schema);
  const value = /^(\s*(?:-\s+)?)(["']?)([\w$.-]+)\2\s*:\s+[^#]*$/.exec(before);
  const indent = (/^\s*(?:-\s+)?/.exec(before)?.[0] ?? '').length;
  const siblings = siblingsOf(text.map(read), at, indent);
  const path = pathAt(text, at, indent);
  let options: Completion[];
  if (value) {
    const key = value[3];
    options = reader.values(reader.at([...path, { key, siblings: { ...siblings, [key]: '' } }], {}));
  } else {
    const here = reader.at(path, siblings);
    options = /^\s*-\s+[\w$.-]*$/.test(before) ? [...reader.values(here), ...reader.keys(here, siblings)] : reader.keys(here, siblings);
  }
  if (options.length === 0) return null;
  return { from: pos - word.length, options, validFor: /^[\w$.-]*$/ };
}
