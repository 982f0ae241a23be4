// Write a job file, see its mistakes where they are, and submit it. Address `/submit`; with
// `?from=URI` the job starts from that checkpoint. Loaded when first shown: it brings the editor.
import { useEffect, useRef, useState } from 'react';
import { parseDocument } from 'yaml';
import { ApiError, postJson } from '../api/client';
import { asApiError, useOnce } from '../api/live';
import * as normalise from '../api/normalise';
import type { Diagnostic, Plan } from '../api/types';
import { quoted } from '../format';
import { Badge, CommandLine, ErrorNote, Note, Panel } from '../parts/basics';
import { Editor } from '../parts/editor';
import { Icon } from '../parts/icons';
import { useTitle } from '../parts/title';
import type { Schema } from '../parts/yaml-completion';
import { navigate, usePlace } from '../router';
import { draft, forgetDraft, keepDraft, type Language } from './draft';
import { EXAMPLES } from './examples';

const PAUSE_MS = 350;

interface Checked {
  text: string;
  diagnostics: Diagnostic[];
  plan: Plan | null;
  ok: boolean;
  /** Whether the job manager looked at it, or only the YAML parser here. */
  by: 'server' | 'browser';
}

const schemaOf = (raw: any): Schema => raw;

/** Mistakes of YAML itself. */
function syntax(text: string, language: Language): Diagnostic[] {
  if (language === 'sql') return [];
  const document = parseDocument(text, { prettyErrors: true });
  return document.errors.map((e) => ({
    severity: 'error',
    code: 'YAML',
    message: e.message.split(' at line ')[0].split('\n')[0],
    line: e.linePos?.[0].line ?? 1,
    column: e.linePos?.[0].col ?? 1,
    endLine: e.linePos?.[1]?.line ?? null,
    endColumn: e.linePos?.[1]?.col ?? null,
    help: null,
  }));
}

async function check(text: string, language: Language, signal: AbortSignal): Promise<Checked> {
  try {
    const raw = await postJson('/jobs/validate', { text, format: language }, signal);
    return { text, by: 'server', ...normalise.validation(raw) };
  } catch (cause) {
    const error = asApiError(cause);
    if (signal.aborted || (error.status !== 404 && error.status !== 405)) throw error;
    const diagnostics = syntax(text, language);
    return { text, by: 'browser', diagnostics, plan: null, ok: diagnostics.length === 0 };
  }
}

/** What a refused submission says of the file. */
function refused(error: ApiError): Diagnostic[] {
  const sent = error.body?.diagnostics;
  const all = Array.isArray(sent) ? sent : Array.isArray((sent as any)?.diagnostics) ? (sent as any).diagnostics : [];
  return all.map(normalise.diagnostic);
}

export default function SubmitView() {
  useTitle('Submit a job');
  const { query } = usePlace();
  const [first] = useState(() => draft() ?? EXAMPLES[0]);
  const [text, setText] = useState(first.text);
  const [language, setLanguage] = useState<Language>(first.language);
  const [from, setFrom] = useState(query.get('from') ?? '');
  const [dropState, setDropState] = useState(false);
  const [checked, setChecked] = useState<Checked | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const [line, setLine] = useState<number | null>(null);
  const schema = useOnce('/schema/job.json', schemaOf);
  const round = useRef<AbortController | null>(null);

  useEffect(() => {
    keepDraft(text, language);
    round.current?.abort();
    const own = new AbortController();
    round.current = own;
    const timer = setTimeout(() => {
      check(text, language, own.signal).then(
        (result) => !own.signal.aborted && setChecked(result),
        (cause) => !own.signal.aborted && setError(asApiError(cause)),
      );
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, language]);

  const submit = async () => {
    setBusy(true);
    setError(null);
    const rest = { ...(from.trim() ? { from: from.trim() } : {}), ...(dropState ? { allowDroppedState: true } : {}) };
    try {
      const done = await send(text, language, rest);
      forgetDraft();
      navigate(`/jobs/${done.id}`);
    } catch (cause) {
      const failed = asApiError(cause);
      const diagnostics = refused(failed);
      if (diagnostics.length > 0) setChecked({ text, by: 'server', diagnostics, plan: null, ok: false });
      setError(failed);
    } finally {
      setBusy(false);
    }
  };

  const errors = checked?.diagnostics.filter((d) => d.severity === 'error').length ?? 0;
  const stale = checked?.text !== text;
  const flags = from.trim() ? ['--from', quoted(from.trim()), ...(dropState ? ['--allow-dropped-state'] : [])] : [];
  return (
    <div className="page wide-page">
      <div className="page-head">
        <h1 tabIndex={-1}>Submit a job</h1>
        <div className="spread" />
        <button type="button" className="button primary" onClick={submit} disabled={busy || !text.trim()}>
          <Icon name="submit" />
          {busy ? 'Submitting…' : 'Submit'}
        </button>
      </div>
      {error && <ErrorNote error={error} />}
      <div className="submit">
        <Panel
          title="Job file"
          flush
          actions={
            <>
              <div className="segments" role="group" aria-label="Language">
                {(['yaml', 'sql'] as const).map((l) => (
                  <button key={l} type="button" aria-pressed={l === language} onClick={() => setLanguage(l)}>
                    {l.toUpperCase()}
                  </button>
                ))}
              </div>
              <select
                aria-label="Start from an example"
                value=""
                onChange={(e) => {
                  const example = EXAMPLES.find((x) => x.name === e.target.value);
                  if (example) {
                    setLanguage(example.language);
                    setText(example.text);
                  }
                }}
              >
                <option value="">Examples…</option>
                {[...new Set(EXAMPLES.map((x) => x.group))].map((group) => (
                  <optgroup key={group} label={group}>
                    {EXAMPLES.filter((x) => x.group === group).map((x) => (
                      <option key={x.name}>{x.name}</option>
                    ))}
                  </optgroup>
                ))}
              </select>
            </>
          }
        >
          <Editor
            label="Job file"
            text={text}
            language={language}
            schema={schema.data}
            diagnostics={stale ? undefined : checked?.diagnostics}
            markLine={line}
            onChange={(next) => {
              setText(next);
              setLine(null);
              setError(null);
            }}
            onSubmit={submit}
          />
          <p className="hint muted">
            Ctrl+Space completes, Ctrl+Enter submits, Escape then Tab leaves the editor.
          </p>
        </Panel>
        <div className="stack">
          <Panel
            title="Check"
            note={checked && !stale ? (checked.by === 'server' ? 'by the job manager' : 'YAML only; the job manager checks it when submitted') : 'checking…'}
          >
            <div data-testid="check" role="status">
              {checked?.ok && !stale && errors === 0 && (
                <Note tone="good" title={checked.by === 'server' ? 'This job can run' : 'The YAML is well formed'} />
              )}
              {checked && !stale && errors > 0 && (
                <Note tone="bad" title={errors === 1 ? 'One mistake' : `${errors} mistakes`} />
              )}
              {checked && (
                <ul className="diagnostics">
                  {checked.diagnostics.map((d, i) => (
                    <li key={i}>
                      <button type="button" onClick={() => setLine(d.line)} disabled={d.line === null}>
                        <Badge tone={d.severity === 'error' ? 'bad' : 'warn'} icon={d.severity === 'error' ? 'cross' : 'warning'}>
                          {d.severity}
                        </Badge>
                        {d.line !== null && (
                          <span className="mono">
                            {d.line}:{d.column ?? 1}
                          </span>
                        )}
                        <span>{d.message}</span>
                      </button>
                      {d.help && <p className="help">{d.help}</p>}
                    </li>
                  ))}
                </ul>
              )}
            </div>
          </Panel>
          {checked?.plan && checked.ok && <PlanPreview plan={checked.plan} />}
          <Panel title="State">
            <label className="field">
              <span>Start from a checkpoint</span>
              <input value={from} onChange={(e) => setFrom(e.target.value)} placeholder="s3://bucket/job/chk-7, or empty" spellCheck={false} />
            </label>
            <label className="check">
              <input type="checkbox" checked={dropState} onChange={(e) => setDropState(e.target.checked)} disabled={!from.trim()} />
              <span>Drop state that no operator of this file takes</span>
            </label>
          </Panel>
          <CommandLine>{['streamctl submit', `job.${language}`, ...flags].join(' ')}</CommandLine>
        </div>
      </div>
    </div>
  );
}

/** `text` and `format`; a server of before takes `jobFile`. */
async function send(text: string, format: Language, rest: Record<string, unknown>): Promise<{ id: string }> {
  try {
    return await postJson('/jobs', { text, format, ...rest });
  } catch (cause) {
    const error = asApiError(cause);
    if (format !== 'yaml' || error.code !== 'INVALID_BODY') throw error;
    return postJson('/jobs', { jobFile: text, ...rest });
  }
}

function PlanPreview({ plan }: { plan: Plan }) {
  return (
    <Panel title="Plan" note={`${plan.nodes.length} vertices, ${plan.edges.length} exchanges`}>
      <ol className="plan">
        {plan.nodes.map((node) => (
          <li key={node.vertex}>
            {node.operators.map((o, i) => (
              <span key={o.uid}>
                {i > 0 && <span className="muted"> → </span>}
                {o.name}
              </span>
            ))}
            {plan.edges
              .filter((e) => e.from === node.vertex)
              .map((e, i) => (
                <div key={i} className="muted">
                  {e.partitioning}
                  {e.keys.length > 0 && ` by ${e.keys.join(', ')}`}
                </div>
              ))}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

