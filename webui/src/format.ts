// Numbers, sizes, durations and times as people read them. Called by every view.

export const DASH = '–';

/** 1234567 -> 1.23M */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  if (size < 1000) return Number.isInteger(value) ? String(value) : value.toFixed(size < 10 ? 1 : 0);
  for (const [unit, letter] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (size >= unit * 0.9995) return `${(value / unit).toPrecision(3)}${letter}`;
  }
  return String(Math.round(value));
}

export const whole = (value: number | null | undefined): string =>
  value === null || value === undefined ? DASH : Math.round(value).toLocaleString('en-US');

export const rate = (value: number | null | undefined): string =>
  value === null || value === undefined ? DASH : `${count(value < 100 ? Math.round(value * 10) / 10 : Math.round(value))}/s`;

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return DASH;
  if (value < 1024) return `${Math.round(value)} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let size = value;
  let unit = -1;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 100 ? Math.round(size) : size.toPrecision(3)} ${units[unit]}`;
}

export const percent = (value: number | null | undefined, digits = 0): string =>
  value === null || value === undefined ? DASH : `${value.toFixed(digits)}%`;

/** 0.4 ms, 12 ms, 3.2 s, 4m 05s, 2h 10m, 3d 4h, 12.9 years */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return DASH;
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 10) return ms === 0 ? '0 ms' : `${ms < 1 ? ms.toFixed(2) : ms.toFixed(1).replace(/\.0$/, '')} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two((seconds % 3600) / 60)}m`;
  const days = seconds / 86_400;
  // Old data read again: hours say nothing here.
  if (days >= 730) return `${(days / 365.25).toFixed(1)} years`;
  return `${Math.floor(days)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

const pad = (n: number, width = 2) => String(n).padStart(width, '0');

/** Local time: 2026-11-21 14:05:09 */
export function time(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return DASH;
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(ms)}`;
}

export function clock(ms: number | null | undefined, millis = false): string {
  if (ms === null || ms === undefined) return DASH;
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}${millis ? `.${pad(d.getMilliseconds(), 3)}` : ''}`;
}

/** A source that has ended sends the greatest watermark there is. */
const LAST_WATERMARK = 8.64e15;

/** Event time, in UTC as the job sees it. */
export function watermark(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return 'none yet';
  if (ms >= LAST_WATERMARK) return 'end of stream';
  if (ms <= -LAST_WATERMARK) return 'none yet';
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** How far event time is behind the clock; null when it makes no sense to say. */
export function lag(ms: number | null | undefined, now: number): string | null {
  if (ms === null || ms === undefined || Math.abs(ms) >= LAST_WATERMARK) return null;
  return duration(Math.max(0, now - ms));
}

export const ago = (ms: number | null | undefined, now: number): string =>
  ms === null || ms === undefined ? DASH : now - ms < 1500 ? 'just now' : `${duration(now - ms)} ago`;

export const shortId = (id: string): string => (id.length > 12 ? id.slice(0, 8) : id);

/** `hashJoin` -> `hash join` */
export const words = (name: string): string =>
  name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[-_]/g, ' ').toLowerCase();

/** The shell's quoting, for the command lines that are shown. */
export const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);
