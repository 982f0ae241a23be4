// A flame graph of folded stacks: width is the share of samples; click or Enter looks closer.
// Called by the task manager's page.
import { useMemo, useState } from 'react';
import type { Profile } from '../api/types';
import { percent } from '../format';

interface Frame { name: string; count: number; children: Map<string, Frame> }

/** Folds the stacks, outermost frame first, to one tree. */
export function treeOf(profile: Profile): Frame {
  const root: Frame = { name: 'all', count: 0, children: new Map() };
  for (const stack of profile.stacks) {
    root.count += stack.count;
    let at = root;
    for (const name of stack.frames) {
      let next = at.children.get(name);
      if (!next) {
        next = { name, count: 0, children: new Map() };
        at.children.set(name, next);
      }
      next.count += stack.count;
      at = next;
    }
  }
  return root;
}

interface Box { frame: Frame; path: string[]; depth: number; left: number; width: number }

/** Boxes narrower than this share of the graph are left out: they cannot be seen. */
const LEAST = 0.002;

function boxesOf(root: Frame): Box[] {
  const boxes: Box[] = [];
  const walk = (frame: Frame, path: string[], depth: number, left: number) => {
    const width = frame.count / Math.max(1, root.count);
    if (width < LEAST) return;
    boxes.push({ frame, path, depth, left, width });
    let at = left;
    for (const child of [...frame.children.values()].sort((a, b) => b.count - a.count)) {
      walk(child, [...path, child.name], depth + 1, at);
      at += child.count / Math.max(1, root.count);
    }
  };
  walk(root, [], 0, 0);
  return boxes;
}

/** One hue for one crate, so that its frames are found at a glance. */
function hue(name: string): number {
  const crate = name.replace(/^</, '').split('::')[0];
  let sum = 0;
  for (const letter of crate) sum = (sum * 31 + letter.charCodeAt(0)) % 360;
  return sum;
}

const ROW = 20;

export function Flame({ profile }: { profile: Profile }) {
  const tree = useMemo(() => treeOf(profile), [profile]);
  const [path, setPath] = useState<string[]>([]);
  const root = path.reduce<Frame>((at, name) => at.children.get(name) ?? at, tree);
  const boxes = useMemo(() => boxesOf(root), [root]);
  const depth = boxes.reduce((m, b) => Math.max(m, b.depth), 0);
  return (
    <div className="flame">
      {path.length > 0 && (
        <p className="row">
          <button type="button" className="button small" onClick={() => setPath([])}>
            Show all
          </button>
          <code className="clip">{path[path.length - 1]}</code>
        </p>
      )}
      <div className="flame-box" style={{ height: (depth + 1) * ROW }} role="group" aria-label="Flame graph">
        {boxes.map((b) => {
          const share = percent((b.frame.count / Math.max(1, tree.count)) * 100, 1);
          const text = `${b.frame.name}, ${b.frame.count} samples, ${share}`;
          return (
            <button
              key={b.path.join(';') || 'all'}
              type="button"
              title={text}
              aria-label={text}
              onClick={() => setPath(b.depth === 0 ? [] : [...path, ...b.path])}
              style={{
                left: `${b.left * 100}%`,
                width: `${b.width * 100}%`,
                top: b.depth * ROW,
                height: ROW - 1,
                ['--hue' as string]: hue(b.frame.name),
              }}
            >
              {b.width > 0.03 ? b.frame.name : ''}
            </button>
          );
        })}
      </div>
    </div>
  );
}
