// What the graph draws: a vertex with its chain, and an exchange with its rate and watermark.
// Called by `topology.tsx`.
import { BaseEdge, EdgeLabelRenderer, getBezierPath, Handle, Position, type EdgeProps, type NodeProps, type Node, type Edge } from '@xyflow/react';
import { memo, type CSSProperties } from 'react';
import type { Operator } from '../../api/types';
import { percent, rate, watermark } from '../../format';
import { LISTED, type Direction } from './layout';
import { useVertex } from './live-vertices';

export interface VertexData extends Record<string, unknown> {
  name: string;
  operators: Operator[];
  parallelism: number;
  large: boolean;
  direction: Direction;
}

export interface ExchangeData extends Record<string, unknown> {
  partitioning: string;
  keys: string[];
  side: string | null;
  large: boolean;
  lit: boolean;
  rateOf: { vertex: string; side: 'in' | 'out' } | null;
  watermarkOf: string;
}

/** Which word describes a vertex, by the thresholds Flink users know: 10% and 50%. */
export function condition(busy: number, backpressured: number): { word: string; level: string } {
  if (backpressured > 50) return { word: 'Backpressured', level: 'backpressured' };
  if (busy > 50) return { word: 'Busy', level: 'busy' };
  if (backpressured > 10) return { word: 'Some backpressure', level: 'some' };
  return { word: busy > 10 ? 'Working' : 'Idle', level: busy > 10 ? 'working' : 'idle' };
}

const OVER = ['FINISHED', 'CANCELED', 'FAILED'];

export const VertexNode = memo(function VertexNode({ id, data, selected }: NodeProps<Node<VertexData>>) {
  const vertex = useVertex(id);
  const busy = vertex?.peak.busy ?? 0;
  const backpressured = vertex?.peak.backpressured ?? 0;
  const { word, level } = condition(busy, backpressured);
  const states = Object.entries(vertex?.states ?? {});
  const running = vertex?.states.RUNNING ?? 0;
  const over = states.length > 0 && states.every(([state]) => OVER.includes(state));
  const shares = { '--busy-share': `${busy}%`, '--bp-share': `${backpressured}%` } as CSSProperties;
  const [first] = data.operators;
  const chain = data.operators.length > 1 && !data.large;
  // A source's subtask without a split has finished while the others read.
  const finished = vertex?.states.FINISHED ?? 0;
  const notAll = !over && running + finished < data.parallelism;
  const vertical = data.direction === 'TB';
  return (
    <div className={`vertex ${over ? 'over' : level}${selected ? ' selected' : ''}`} style={shares}>
      <Handle type="target" position={vertical ? Position.Top : Position.Left} isConnectable={false} tabIndex={-1} />
      <div className="vertex-head">
        <span className="vertex-title" title={data.name}>
          {chain ? `${first?.name ?? ''} and ${data.operators.length - 1} more` : data.large ? data.name : (first?.name ?? data.name)}
        </span>
        <span className="vertex-parallelism" title={`parallelism ${data.parallelism}`}>
          ×{data.parallelism}
        </span>
      </div>
      {chain && (
        <ol className="vertex-chain">
          {data.operators.slice(0, data.operators.length > LISTED ? LISTED - 1 : LISTED).map((o) => (
            <li key={o.uid}>
              <span>{o.name}</span> <em>{o.kind}</em>
            </li>
          ))}
          {data.operators.length > LISTED && <li className="more">{data.operators.length - LISTED + 1} more</li>}
        </ol>
      )}
      <div className="vertex-foot">
        <span className="vertex-word">
          {over ? states.map(([s]) => s.toLowerCase()).join(', ') : notAll ? `${running}/${data.parallelism} running` : word}
        </span>
        {!over && (
          <span className="vertex-figures">
            busy {percent(busy)} · bp {percent(backpressured)}
          </span>
        )}
      </div>
      {!data.large && (
        <div className="vertex-foot">
          <span className="vertex-figures">
            {rate(vertex?.rates.recordsInPerSecond ?? 0)} in · {rate(vertex?.rates.recordsOutPerSecond ?? 0)} out
          </span>
        </div>
      )}
      <div className="vertex-bar">
        <span className="share busy" style={{ width: over ? 0 : `${busy}%` }} />
        <span className="share backpressured" style={{ width: over ? 0 : `${backpressured}%` }} />
        <span className="share idle" style={{ flex: 1 }} />
      </div>
      <Handle type="source" position={vertical ? Position.Bottom : Position.Right} isConnectable={false} tabIndex={-1} />
    </div>
  );
});

/** The day is not on the edge; the drawer and the table have the whole time. */
function shortWatermark(ms: number | null): string | null {
  if (ms === null) return null;
  const text = watermark(ms);
  if (!text.endsWith('Z')) return text === 'end of stream' ? 'end' : null;
  return text.slice(5, 16);
}

export const ExchangeEdge = memo(function ExchangeEdge(props: EdgeProps<Edge<ExchangeData>>) {
  const { data } = props;
  const [path, x, y] = getBezierPath(props);
  const counted = useVertex(data?.rateOf?.vertex ?? '');
  const from = useVertex(data?.watermarkOf ?? '');
  const perSecond = counted && data?.rateOf ? (data.rateOf.side === 'in' ? counted.rates.recordsInPerSecond : counted.rates.recordsOutPerSecond) : null;
  const mark = shortWatermark(from?.watermark ?? null);
  const flowing = (perSecond ?? 0) > 0;
  const held = (from?.peak.backpressured ?? 0) > 50;
  return (
    <>
      <BaseEdge path={path} className={`exchange${data?.lit ? ' lit' : ''}${flowing ? ' flowing' : ''}${held ? ' held' : ''}`} />
      {data && !data.large && (
        <EdgeLabelRenderer>
          <div className="exchange-label" style={{ transform: `translate(-50%, -50%) translate(${x}px, ${y}px)` }}>
            <strong title={data.keys.join(', ')}>
              {data.side && `${data.side}, `}
              {data.partitioning}
              {data.keys.length > 0 && `: ${data.keys.join(', ')}`}
            </strong>
            {perSecond !== null && <span>{rate(perSecond)}</span>}
            {mark && <span title={`watermark ${watermark(from?.watermark)}`}>wm {mark}</span>}
          </div>
        </EdgeLabelRenderer>
      )}
    </>
  );
});

