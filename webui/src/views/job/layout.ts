// Layered layout of a job's graph. Pure. Called by `topology.tsx`.
import { graphlib, layout } from '@dagrejs/dagre';
import type { Plan } from '../../api/types';

export interface Placed { vertex: string; x: number; y: number; width: number; height: number }

export type Direction = 'LR' | 'TB';

export const NODE_WIDTH = 252;
/** Operators of a chain that a node lists before it says how many more there are. */
export const LISTED = 4;
/** Above this many vertices nodes list no operators and edges carry no labels. */
export const LARGE = 60;

export function heightOf(operators: number, large: boolean): number {
  if (large) return 74;
  const rows = operators <= LISTED ? operators : LISTED;
  return 92 + (operators > 1 ? rows * 19 + 8 : 0);
}

/** Above this many vertices the layers are filled by `stack`, which takes milliseconds. */
const HUGE = 120;

export function place(plan: Plan, direction: Direction): Map<string, Placed> {
  if (plan.nodes.length > HUGE) return stack(plan, direction);
  const large = plan.nodes.length > LARGE;
  const graph = new graphlib.Graph({ multigraph: true });
  graph.setGraph({
    rankdir: direction,
    nodesep: large ? 24 : 44,
    ranksep: large ? 90 : direction === 'LR' ? 150 : 84,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of plan.nodes) {
    graph.setNode(node.vertex, { width: NODE_WIDTH, height: heightOf(node.operators.length, large) });
  }
  plan.edges.forEach((edge, i) => {
    if (graph.hasNode(edge.from) && graph.hasNode(edge.to)) graph.setEdge(edge.from, edge.to, {}, String(i));
  });
  layout(graph);
  const placed = new Map<string, Placed>();
  for (const node of plan.nodes) {
    const at = graph.node(node.vertex) as { x: number; y: number; width: number; height: number };
    placed.set(node.vertex, {
      vertex: node.vertex,
      x: at.x - at.width / 2,
      y: at.y - at.height / 2,
      width: at.width,
      height: at.height,
    });
  }
  return placed;
}

/** A vertex stands one layer behind the last of its inputs, a source just before its first reader. */
function layersOf(plan: Plan, inputs: Map<string, string[]>, outputs: Map<string, string[]>): string[][] {
  const depth = new Map<string, number>();
  // Vertices come in topological order.
  for (const { vertex } of plan.nodes) {
    const before = (inputs.get(vertex) ?? []).map((from) => depth.get(from) ?? 0);
    depth.set(vertex, before.length === 0 ? 0 : Math.max(...before) + 1);
  }
  for (const { vertex } of plan.nodes) {
    if (inputs.get(vertex)?.length) continue;
    const readers = (outputs.get(vertex) ?? []).map((to) => depth.get(to) ?? 1);
    if (readers.length > 0) depth.set(vertex, Math.min(...readers) - 1);
  }
  const layers: string[][] = [];
  for (const { vertex } of plan.nodes) (layers[depth.get(vertex) ?? 0] ??= []).push(vertex);
  return layers;
}

/** Sorts every layer by the mean place of its neighbours, a few times forth and back. */
function untangle(layers: string[][], inputs: Map<string, string[]>, outputs: Map<string, string[]>) {
  const at = new Map<string, number>();
  const number = (layer: string[]) => layer.forEach((vertex, i) => at.set(vertex, (i + 0.5) / layer.length));
  layers.forEach(number);
  const sort = (layer: string[], neighbours: Map<string, string[]>) => {
    const mean = (vertex: string) => {
      const all = neighbours.get(vertex) ?? [];
      if (all.length === 0) return at.get(vertex) ?? 0;
      return all.reduce((sum, other) => sum + (at.get(other) ?? 0), 0) / all.length;
    };
    const means = new Map(layer.map((vertex) => [vertex, mean(vertex)]));
    layer.sort((a, b) => (means.get(a) ?? 0) - (means.get(b) ?? 0));
    number(layer);
  };
  for (let round = 0; round < 6; round += 1) {
    layers.forEach((layer) => sort(layer, inputs));
    [...layers].reverse().forEach((layer) => sort(layer, outputs));
  }
}

/** Layers without room for the edges between: for graphs that are looked at from afar. */
function stack(plan: Plan, direction: Direction): Map<string, Placed> {
  const inputs = new Map<string, string[]>();
  const outputs = new Map<string, string[]>();
  const push = (map: Map<string, string[]>, key: string, value: string) => {
    const list = map.get(key);
    if (list) list.push(value);
    else map.set(key, [value]);
  };
  for (const { from, to } of plan.edges) {
    push(inputs, to, from);
    push(outputs, from, to);
  }
  const layers = layersOf(plan, inputs, outputs);
  untangle(layers, inputs, outputs);
  const height = heightOf(1, true);
  const placed = new Map<string, Placed>();
  layers.forEach((layer, depth) => {
    layer.forEach((vertex, i) => {
      const across = i - (layer.length - 1) / 2;
      const [x, y] = direction === 'LR' ? [depth * (NODE_WIDTH + 150), across * (height + 36)] : [across * (NODE_WIDTH + 40), depth * (height + 90)];
      placed.set(vertex, { vertex, x, y, width: NODE_WIDTH, height });
    });
  });
  return placed;
}
