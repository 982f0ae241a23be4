// The job file as submitted, each node linked to its lines. Address `/jobs/ID/source?line=N`.
// Loaded when first shown: it brings the editor.
import { useMemo } from 'react';
import { useOnce } from '../../api/live';
import { quoted, words } from '../../format';
import { CommandLine, Copy, Empty, ErrorNote, Loading, Panel } from '../../parts/basics';
import { Editor } from '../../parts/editor';
import { Link, navigate, usePlace } from '../../router';
import type { JobTab } from './job';

interface Text { format: string; text: string | null }
const fromSource = (raw: any): Text => ({ format: raw.format ?? 'yaml', text: raw.text ?? null });
const fromGraph = (raw: any): Text => ({ format: 'yaml', text: raw.jobFile || null });

/** Where a node's block starts in the YAML, when the server does not say: `  name:` at its indent. */
export function lineOf(text: string, node: string): number | null {
  const lines = text.split('\n');
  const found = lines.findIndex((l) => new RegExp(`^\\s{2,8}(['"]?)${node.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\1\\s*:`).test(l));
  return found < 0 ? null : found + 1;
}

export default function SourceTab({ job, plan }: JobTab) {
  const { query } = usePlace();
  const sent = useOnce(`/jobs/${job.id}/source`, fromSource);
  const graph = useOnce(sent.error ? `/jobs/${job.id}/graph` : null, fromGraph);
  const source = sent.data ?? graph.data;
  const nodes = useMemo(() => {
    const text = source?.text ?? '';
    return (plan?.nodes ?? []).flatMap((n) =>
      n.operators
        // What the planner added stands at the lines of the node it belongs to.
        .filter((o) => !o.uid.includes('$'))
        .map((o) => ({ vertex: n.vertex, ...o, line: o.line ?? lineOf(text, o.name) })),
    );
  }, [plan, source?.text]);
  if (!source) {
    const error = graph.error ?? (sent.error && graph.link === 'lost' ? sent.error : null);
    return error ? <ErrorNote error={error} /> : <Loading what="job file" />;
  }
  if (!source.text) return <Empty>The client sent a planned graph without its file.</Empty>;
  const line = Number(query.get('line')) || null;
  const atLine = (at: number) => {
    const best = nodes.filter((n) => n.line !== null && n.line <= at).sort((a, b) => (b.line ?? 0) - (a.line ?? 0))[0];
    return best?.vertex;
  };
  return (
    <div className="stack">
      <div className="source">
        <Panel title="Nodes" flush>
          <ul className="nodes">
            {nodes.map((n) => (
              <li key={n.uid}>
                {n.line !== null ? (
                  <Link to={`/jobs/${job.id}/source?line=${n.line}`} aria-current={n.line === line ? 'location' : undefined}>
                    {n.name} <span className="muted">line {n.line}</span>
                  </Link>
                ) : (
                  <span>{n.name}</span>
                )}
                <Link to={`/jobs/${job.id}/vertices/${n.vertex}`} className="muted" aria-label={`${words(n.kind)}: show ${n.name} in the topology`}>
                  {words(n.kind)}
                </Link>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title="Job file" note={source.format} actions={<Copy text={source.text} label="Copy the job file" />} flush>
          <Editor
            label="Job file"
            text={source.text}
            language={source.format === 'sql' ? 'sql' : 'yaml'}
            readOnly
            markLine={line}
            onLine={(at) => {
              const vertex = atLine(at);
              if (vertex) navigate(`/jobs/${job.id}/vertices/${vertex}`);
            }}
          />
        </Panel>
      </div>
      <CommandLine>{`streamctl describe job ${quoted(job.name)} -o yaml`}</CommandLine>
    </div>
  );
}
