// The topology: vertices (operator chains) and exchanges in layers, coloured by what their busiest
// subtask does, with rates and watermarks; below it the vertices as a table. Addresses `/jobs/ID`
// and `/jobs/ID/vertices/VERTEX`. Loaded when first shown: it brings the graph library.
import {
  Background, BackgroundVariant, Controls, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow, useStore, type Edge, type Node,
} from '@xyflow/react';
import '@xyflow/react/dist/style.css';
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import type { Job, Plan, Vertex } from '../../api/types';
import { bytes, count, lag, percent, quoted, rate, watermark } from '../../format';
import { CommandLine, Empty, Loading, Panel, Shares } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { Table, type Column } from '../../parts/table';
import { Link, navigate, usePlace } from '../../router';
import { Figures, type JobTab } from './job';
import { LARGE, place, type Direction } from './layout';
import { LiveContext, LiveVertices } from './live-vertices';
import { ExchangeEdge, VertexNode, type ExchangeData, type VertexData } from './topology-parts';
import { VertexDrawer } from './vertex';

const NODE_TYPES = { vertex: VertexNode };
const EDGE_TYPES = { exchange: ExchangeEdge };

export default function TopologyTab({ job, plan }: JobTab) {
  const { parts } = usePlace();
  const selected = parts[2] === 'vertices' ? (parts[3] ?? null) : null;
  const select = useCallback(
    (vertex: string | null) => navigate(vertex ? `/jobs/${job.id}/vertices/${vertex}` : `/jobs/${job.id}`, { replace: selected !== null && vertex !== null }),
    [job.id, selected],
  );
  const vertex = selected ? job.vertices.find((v) => v.id === selected) : undefined;
  if (!plan) return <Loading what="topology" />;
  if (plan.nodes.length === 0) return <Empty>This job has no vertices.</Empty>;
  return (
    <div className="stack">
      <Figures job={job} />
      <div className={`topology-row${vertex ? ' with-drawer' : ''}`}>
        <ReactFlowProvider>
          <Graph job={job} plan={plan} selected={selected} onSelect={select} />
        </ReactFlowProvider>
        {vertex && <VertexDrawer key={vertex.id} job={job} plan={plan} vertex={vertex} onClose={() => select(null)} />}
      </div>
      <Panel title="Vertices" note={`${plan.nodes.length} chains, ${plan.edges.length} exchanges`} flush>
        <Vertices job={job} selected={selected} onSelect={select} />
      </Panel>
      <CommandLine>{`streamctl describe job ${quoted(job.name)}`}</CommandLine>
    </div>
  );
}

function useDirection(): Direction {
  const [narrow, setNarrow] = useState(() => matchMedia('(max-width: 700px)').matches);
  useEffect(() => {
    const query = matchMedia('(max-width: 700px)');
    const change = () => setNarrow(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return narrow ? 'TB' : 'LR';
}

interface GraphProps { job: Job; plan: Plan; selected: string | null; onSelect: (vertex: string | null) => void }

function Graph({ job, plan, selected, onSelect }: GraphProps) {
  const direction = useDirection();
  const live = useMemo(() => new LiveVertices(), []);
  useMemo(() => live.set(job.vertices), [live]); // eslint-disable-line -- the first figures, before the first paint
  useEffect(() => live.set(job.vertices), [live, job.vertices]);
  const placed = useMemo(() => place(plan, direction), [plan, direction]);
  const large = plan.nodes.length > LARGE;
  const names = useMemo(() => new Map(job.vertices.map((v) => [v.id, v])), [job.id, job.vertices.length]); // eslint-disable-line -- names stay
  const [words, setWords] = useState('');
  const found = useMemo(() => matches(plan, words), [plan, words]);
  const flow = useReactFlow();
  const box = useRef<HTMLDivElement>(null);

  // In three steps, so that a search or a selection makes anew only what it changes.
  const plain = useMemo((): Node<VertexData>[] => {
    return plan.nodes.map((n) => {
      const at = placed.get(n.vertex);
      const known = names.get(n.vertex);
      const name = known?.name ?? n.operators.map((o) => o.name).join(' -> ');
      return {
        id: n.vertex,
        type: 'vertex',
        position: { x: at?.x ?? 0, y: at?.y ?? 0 },
        width: at?.width,
        height: at?.height,
        selected: false,
        draggable: false,
        connectable: false,
        ariaLabel: `${name}, parallelism ${known?.parallelism ?? 'unknown'}`,
        domAttributes: { 'aria-roledescription': 'vertex' },
        data: { name, operators: n.operators, parallelism: known?.parallelism ?? 1, large, direction },
      };
    });
  }, [plan, placed, names, large, direction]);
  const marked = useMemo(() => (found ? plain.map((n) => ({ ...n, className: found.has(n.id) ? 'found' : 'dimmed' })) : plain), [plain, found]);
  const nodes = useMemo(() => marked.map((n) => (n.id === selected ? { ...n, selected: true } : n)), [marked, selected]);

  const dull = useMemo((): Edge<ExchangeData>[] => {
    const into = new Map<string, number>();
    for (const e of plan.edges) into.set(e.to, (into.get(e.to) ?? 0) + 1);
    return plan.edges.map((e, i) => ({
      id: `${i}-${e.from}-${e.to}`,
      source: e.from,
      target: e.to,
      type: 'exchange',
      focusable: false,
      data: {
        partitioning: e.partitioning,
        keys: e.keys,
        large,
        lit: false,
        side: e.side,
        // Every exchange of the main output carries all that the vertex sends. What a side output
        // sends is known where nothing else goes in at the other end.
        rateOf: e.side === null ? { vertex: e.from, side: 'out' } : into.get(e.to) === 1 ? { vertex: e.to, side: 'in' } : null,
        watermarkOf: e.from,
      },
    }));
  }, [plan, large]);
  const edges = useMemo(
    () => dull.map((e) => (e.data && (e.source === selected || e.target === selected) ? { ...e, data: { ...e.data, lit: true } } : e)),
    [dull, selected],
  );

  const show = useCallback(
    (vertex: string, zoom?: number) => {
      const at = placed.get(vertex);
      if (at) void flow.setCenter(at.x + at.width / 2, at.y + at.height / 2, { zoom: zoom ?? Math.max(0.8, flow.getZoom()), duration: motion() });
    },
    [placed, flow],
  );
  // A selection that came from the address or the table is brought into view.
  const shownFor = useRef<string | null>(null);
  useEffect(() => {
    if (selected && shownFor.current !== selected) setTimeout(() => show(selected), 60);
    shownFor.current = selected;
  }, [selected, show]);
  useEffect(() => {
    setTimeout(() => void flow.fitView({ padding: 0.06, maxZoom: 1.1 }), 0);
  }, [direction, plan, flow]);

  const onKey = (event: KeyboardEvent) => {
    const node = (event.target as HTMLElement).closest<HTMLElement>('.react-flow__node');
    if (node && (event.key === 'Enter' || event.key === ' ')) {
      event.preventDefault();
      onSelect(node.dataset.id ?? null);
    } else if (event.key === 'Escape' && selected) onSelect(null);
  };
  const next = useRef(0);
  const jump = () => {
    const all = [...(found ?? [])];
    if (all.length === 0) return;
    const vertex = all[next.current % all.length];
    next.current += 1;
    show(vertex, 1);
    onSelect(vertex);
  };

  return (
    <LiveContext.Provider value={live}>
      <section className="graph" aria-label="Topology" ref={box} onKeyDown={onKey} data-testid="topology">
        <div className="graph-tools">
          <form
            className="search"
            role="search"
            onSubmit={(e) => {
              e.preventDefault();
              jump();
            }}
          >
            <Icon name="search" />
            <input
              type="search"
              aria-label="Find a vertex or operator"
              placeholder="Find a vertex"
              value={words}
              onChange={(e) => {
                setWords(e.target.value);
                next.current = 0;
              }}
            />
            {found && <span className="found" role="status">{found.size} found</span>}
          </form>
          <ul className="legend" aria-label="Colours">
            <li><span className="swatch share busy" /> Busy</li>
            <li><span className="swatch share backpressured" /> Backpressured</li>
            <li><span className="swatch share idle" /> Idle</li>
          </ul>
        </div>
        <ReactFlow
          nodes={nodes}
          edges={edges}
          nodeTypes={NODE_TYPES}
          edgeTypes={EDGE_TYPES}
          onNodeClick={(_, node) => onSelect(node.id)}
          onPaneClick={() => selected && onSelect(null)}
          nodesDraggable={false}
          nodesConnectable={false}
          elevateNodesOnSelect={false}
          edgesFocusable={false}
          deleteKeyCode={null}
          minZoom={0.03}
          maxZoom={2}
          fitView
          fitViewOptions={{ padding: 0.12, maxZoom: 1.1 }}
          onlyRenderVisibleElements={large}
          zoomOnScroll={false}
          panOnScroll={false}
          zoomActivationKeyCode={['Meta', 'Control']}
          preventScrolling={false}
          proOptions={{ hideAttribution: true }}
          attributionPosition="bottom-left"
        >
          <Detail />
          <Background variant={BackgroundVariant.Dots} gap={20} size={1} color="var(--grid-dots)" />
          <Controls showInteractive={false} position="bottom-right" aria-label="Zoom" />
          {large && (
            <MiniMap style={{ width: 150, height: 96 }} pannable zoomable position="bottom-left" ariaLabel="Map of the topology" nodeColor="var(--muted)" maskColor="var(--mask)" bgColor="var(--surface)" />
          )}
        </ReactFlow>
      </section>
    </LiveContext.Provider>
  );
}

const motion = () => (matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 250);

/** Marks the graph with how much of a node can be read at this zoom. */
function Detail() {
  const far = useStore((s) => s.transform[2] < 0.42);
  const farther = useStore((s) => s.transform[2] < 0.16);
  const host = useStore((s) => s.domNode);
  useEffect(() => {
    host?.classList.toggle('far', far);
    host?.classList.toggle('farther', farther);
  }, [far, farther, host]);
  return null;
}

function matches(plan: Plan, words: string): Set<string> | null {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return null;
  const fits = (text: string) => text.toLowerCase().includes(wanted);
  return new Set(plan.nodes.filter((n) => n.operators.some((o) => fits(o.name) || fits(o.uid) || fits(o.kind))).map((n) => n.vertex));
}

function Vertices({ job, selected, onSelect }: { job: Job; selected: string | null; onSelect: (vertex: string) => void }) {
  const columns = useMemo((): Column<Vertex>[] => {
    const over = job.endedAtMs !== null;
    return [
      {
        id: 'name',
        name: 'Vertex',
        cell: (v) => (
          <Link to={`/jobs/${job.id}/vertices/${v.id}`} className="strong vertex-name">
            {v.name}
          </Link>
        ),
        sort: (v) => v.name,
      },
      { id: 'states', name: 'Tasks', cell: (v) => <States states={v.states} />, sort: (v) => Object.keys(v.states).join() },
      {
        id: 'load',
        name: 'Load (greatest)',
        cell: (v) => (
          <span className="load">
            <Shares busy={v.peak.busy} backpressured={v.peak.backpressured} idle={Math.max(0, 100 - v.peak.busy - v.peak.backpressured)} />
            <span>
              {percent(v.peak.busy)} busy{v.peak.backpressured >= 1 ? `, ${percent(v.peak.backpressured)} backpressured` : ''}
            </span>
          </span>
        ),
        sort: (v) => v.peak.busy + v.peak.backpressured,
        number: false,
      },
      { id: 'in', name: 'Records in', number: true, cell: (v) => (over ? count(v.metrics.recordsIn) : rate(v.rates.recordsInPerSecond)), sort: (v) => (over ? v.metrics.recordsIn : v.rates.recordsInPerSecond) },
      { id: 'out', name: 'Records out', number: true, cell: (v) => (over ? count(v.metrics.recordsOut) : rate(v.rates.recordsOutPerSecond)), sort: (v) => (over ? v.metrics.recordsOut : v.rates.recordsOutPerSecond) },
      { id: 'bytes', name: 'Bytes in', number: true, wide: true, cell: (v) => bytes(v.metrics.bytesIn), sort: (v) => v.metrics.bytesIn },
      { id: 'state', name: 'State', number: true, wide: true, cell: (v) => bytes(v.metrics.stateBytes), sort: (v) => v.metrics.stateBytes },
      { id: 'late', name: 'Late', number: true, wide: true, cell: (v) => count(v.metrics.lateRecords), sort: (v) => v.metrics.lateRecords },
      { id: 'watermark', name: 'Watermark', number: true, wide: true, cell: (v) => <span title={lag(v.watermark, Date.now()) ?? ''}>{watermark(v.watermark)}</span>, sort: (v) => v.watermark },
    ];
  }, [job.id, job.endedAtMs]);
  return (
    <Table
      label="Vertices"
      rows={job.vertices}
      columns={columns}
      rowKey={(v) => v.id}
      onRow={(v) => onSelect(v.id)}
      rowClass={(v) => (v.id === selected ? 'chosen' : undefined)}
      rowHeight={40}
    />
  );
}

export function States({ states }: { states: Record<string, number> }) {
  return (
    <span className="states-list">
      {Object.entries(states).map(([state, n]) => (
        <span key={state} className={`task-state state-${state.toLowerCase()}`}>
          {n} {state.toLowerCase()}
        </span>
      ))}
    </span>
  );
}

