// Line charts over time: uPlot in the theme's colours, with words for those who do not see it.
// Called by the overview, the vertex drawer and the task manager's page.
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clock } from '../format';

export interface Series { name: string; color: string; points: [number, number | null][]; dash?: boolean }

interface Props {
  label: string;
  series: Series[];
  format: (value: number) => string;
  height?: number;
  /** Lowest top of the scale. */
  atLeast?: number;
}

/** Series that were asked for one after the other stand at the same times. */
const second = (ms: number) => Math.round(ms / 1000) * 1000;

/** All series on one time axis: uPlot wants columns. */
function columnsOf(series: Series[]): uPlot.AlignedData {
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => second(p[0]))))].sort((a, b) => a - b);
  const rows = series.map((s) => {
    const byTime = new Map(s.points.map((p) => [second(p[0]), p[1]]));
    return times.map((t) => byTime.get(t) ?? null);
  });
  return [times.map((t) => t / 1000), ...rows] as uPlot.AlignedData;
}

/** From the first point to the last, and at least a minute: uPlot shows a day around a single one. */
const minute = (times: ArrayLike<number>): [number, number] => {
  const end = times.length > 0 ? times[times.length - 1] : Date.now() / 1000;
  return [Math.min(times.length > 0 ? times[0] : end, end - 60), end];
};

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (value: string) => (value.startsWith('--') ? css(value) : value);

export function Chart({ label, series, format, height = 150, atLeast = 1 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = series.map((s) => s.name + s.color).join('|');
  const formatRef = useRef(format);
  formatRef.current = format;
  const latest = useRef(series);
  latest.current = series;

  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const build = () => {
      plot.current?.destroy();
      const axis: uPlot.Axis = { stroke: css('--muted'), grid: { stroke: css('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
      plot.current = new uPlot(
        {
          width: Math.max(120, host.clientWidth),
          height,
          legend: { show: false },
          cursor: { drag: { x: false, y: false }, points: { size: 5 } },
          scales: { x: { range: (plot) => minute(plot.data[0]) }, y: { range: (_, __, max) => [0, Math.max(atLeast, (max ?? 0) * 1.1)] } },
          axes: [
            { ...axis, size: 26, values: (_, ticks) => ticks.map((t) => clock(t * 1000)), space: 80 },
            { ...axis, size: 74, values: (_, ticks) => ticks.map((t) => formatRef.current(t)), space: 30 },
          ],
          series: [
            {},
            ...latest.current.map((s) => ({
              label: s.name,
              stroke: colour(s.color),
              width: 1.75,
              dash: s.dash ? [4, 4] : undefined,
              points: { show: false },
              spanGaps: true,
            })),
          ],
        },
        columnsOf(latest.current),
        host,
      );
    };
    build();
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(120, host.clientWidth), height }));
    resize.observe(host);
    const theme = new MutationObserver(build);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', build);
    return () => {
      resize.disconnect();
      theme.disconnect();
      system.removeEventListener('change', build);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, height, atLeast]);

  useEffect(() => {
    plot.current?.setData(columnsOf(series));
  }, [series]);

  const now = series.map((s) => {
    const last = s.points.findLast((p) => p[1] !== null);
    return `${s.name} ${last ? format(last[1] as number) : 'no data'}`;
  });
  return (
    <figure className="chart">
      <figcaption>
        <span>{label}</span>
        <span className="chart-now">
          {series.map((s, i) => (
            <span key={s.name}>
              <span className="swatch" style={{ background: s.color.startsWith('--') ? `var(${s.color})` : s.color }} />
              {now[i]}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${label}: now ${now.join(', ')}`} />
    </figure>
  );
}
