// Remembers what the live events said for the last minutes, so that a chart has a past even where
// the server keeps none. Called by the overview and the vertex drawer.
import { useRef } from 'react';

const KEEP_MS = 10 * 60_000;

/** Appends `values` at `atMs` whenever `stamp` changes; answers one list of points per value. */
export function useHistory(key: string, stamp: unknown, values: Record<string, number | null>): Record<string, [number, number | null][]> {
  const kept = useRef<{ key: string; stamp: unknown; points: Record<string, [number, number | null][]> }>({
    key,
    stamp: undefined,
    points: {},
  });
  const state = kept.current;
  if (state.key !== key) {
    state.key = key;
    state.points = {};
    state.stamp = undefined;
  }
  if (stamp !== null && stamp !== undefined && state.stamp !== stamp) {
    state.stamp = stamp;
    const now = Date.now();
    const next: Record<string, [number, number | null][]> = {};
    for (const [name, value] of Object.entries(values)) {
      const before = (state.points[name] ?? []).filter((p) => p[0] > now - KEEP_MS);
      next[name] = [...before, [now, value]];
    }
    state.points = next;
  }
  return state.points;
}
