// The vertices' live figures beside the graph, so that an event draws the nodes that changed and
// not the whole graph again. Written by `topology.tsx`, read by its nodes and edges.
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { Vertex } from '../../api/types';

export class LiveVertices {
  private vertices = new Map<string, Vertex>();
  private listeners = new Set<() => void>();

  set(vertices: Vertex[]) {
    const next = new Map<string, Vertex>();
    for (const vertex of vertices) {
      const before = this.vertices.get(vertex.id);
      next.set(vertex.id, before && shownAlike(before, vertex) ? before : vertex);
    }
    this.vertices = next;
    this.listeners.forEach((f) => f());
  }

  get = (id: string): Vertex | null => this.vertices.get(id) ?? null;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

/** Equal as far as a node or an edge shows it. */
function shownAlike(a: Vertex, b: Vertex): boolean {
  return (
    Math.round(a.peak.busy) === Math.round(b.peak.busy) &&
    Math.round(a.peak.backpressured) === Math.round(b.peak.backpressured) &&
    Math.round(a.rates.recordsInPerSecond) === Math.round(b.rates.recordsInPerSecond) &&
    Math.round(a.rates.recordsOutPerSecond) === Math.round(b.rates.recordsOutPerSecond) &&
    a.watermark === b.watermark &&
    JSON.stringify(a.states) === JSON.stringify(b.states)
  );
}

export const LiveContext = createContext<LiveVertices>(new LiveVertices());

export function useVertex(id: string): Vertex | null {
  const live = useContext(LiveContext);
  return useSyncExternalStore(live.subscribe, () => live.get(id));
}
