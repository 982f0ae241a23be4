// State that follows the server: server-sent events where the server has them, polling where it
// does not. A hidden page holds no connection. Called by the views.
import { useCallback, useEffect, useRef, useState } from 'react';
import { ApiError, getJson, stream, type ServerEvent } from './client';

export interface Live<T> {
  data: T | null;
  error: ApiError | null;
  /** `live`, `polling` (the server has no event stream), or `lost` (retrying). */
  link: 'connecting' | 'live' | 'polling' | 'lost';
}

const RETRY_MS = [500, 1000, 2000, 5000];
/** The server sends a comment every 15 s: silence of this long is a dead connection. */
const SILENCE_MS = 40_000;

const asApiError = (cause: unknown): ApiError =>
  cause instanceof ApiError ? cause : new ApiError(0, 'UI', cause instanceof Error ? cause.message : String(cause), null);

interface Source {
  /** The event stream, or null when there is none for this state. */
  events: string | null;
  onEvent: (event: ServerEvent) => void;
  /** Asks for the state once: without a stream, and to poll. */
  poll: (signal: AbortSignal) => Promise<void>;
  everyMs: number;
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

async function follow(source: Source, signal: AbortSignal, report: (link: Live<unknown>['link'], error: ApiError | null) => void) {
  let failures = 0;
  let streaming = source.events !== null;
  while (!signal.aborted) {
    try {
      if (streaming && source.events) {
        await streamOnce(source, source.events, signal, () => {
          failures = 0;
          report('live', null);
        });
        if (!signal.aborted) await pause(RETRY_MS[0], signal);
      } else {
        await source.poll(signal);
        failures = 0;
        report('polling', null);
        await pause(source.everyMs, signal);
      }
    } catch (cause) {
      if (signal.aborted) return;
      const error = asApiError(cause);
      if (streaming && (error.status === 404 || error.status === 405) && error.code !== 'JOB_NOT_FOUND') {
        // An older server: this route is not there. When the thing itself is missing, so says the poll.
        streaming = false;
        continue;
      }
      report('lost', error);
      await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)], signal);
    }
  }
}

async function streamOnce(source: Source, path: string, signal: AbortSignal, onOpen: () => void) {
  const own = new AbortController();
  const stop = () => own.abort();
  signal.addEventListener('abort', stop);
  let timer = setTimeout(stop, SILENCE_MS);
  const onActivity = () => {
    clearTimeout(timer);
    timer = setTimeout(stop, SILENCE_MS);
  };
  try {
    await stream(path, { signal: own.signal, onOpen, onActivity }, source.onEvent);
  } catch (cause) {
    // Silence is a lost connection like any other; only the caller's abort ends the loop.
    if (!own.signal.aborted || signal.aborted) throw cause;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** Follows `path` by polling, or `events` where the server streams it. */
export function useLive<T>(
  path: string | null,
  normalise: (raw: any) => T,
  options: { events?: string | null; eventName?: string; everyMs?: number; also?: (event: ServerEvent) => void } = {},
): Live<T> {
  const [state, setState] = useState<Live<T>>({ data: null, error: null, link: 'connecting' });
  const visible = useVisible();
  const also = useRef(options.also);
  also.current = options.also;
  const { events = null, eventName = '', everyMs = 1000 } = options;
  useEffect(() => {
    setState({ data: null, error: null, link: 'connecting' });
  }, [path]);
  useEffect(() => {
    if (path === null || !visible) return;
    const abort = new AbortController();
    const take = (raw: unknown) => setState((s) => ({ ...s, data: normalise(raw), error: null }));
    const source: Source = {
      events,
      onEvent: (event) => {
        if (event.event === eventName) take(JSON.parse(event.data));
        also.current?.(event);
      },
      poll: async (signal) => take(await getJson(path, signal)),
      everyMs,
    };
    void follow(source, abort.signal, (link, error) =>
      setState((s) => (s.link === link && s.error === error ? s : { ...s, link, error })),
    );
    return () => abort.abort();
  }, [path, events, eventName, everyMs, visible]); // eslint-disable-line -- normalise is a module's function
  return state;
}

/** Asks once, and again by `reload`. */
export function useOnce<T>(path: string | null, normalise: (raw: any) => T): Live<T> & { reload: () => void } {
  const [state, setState] = useState<Live<T>>({ data: null, error: null, link: 'connecting' });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    getJson(path, abort.signal).then(
      (raw) => setState({ data: normalise(raw), error: null, link: 'live' }),
      (cause) => {
        if (!abort.signal.aborted) setState((s) => ({ ...s, error: asApiError(cause), link: 'lost' }));
      },
    );
    return () => abort.abort();
  }, [path, round]); // eslint-disable-line -- normalise is a module's function
  return { ...state, reload: useCallback(() => setRound((n) => n + 1), []) };
}

function useVisible(): boolean {
  const [visible, setVisible] = useState(() => !document.hidden);
  useEffect(() => {
    const change = () => setVisible(!document.hidden);
    document.addEventListener('visibilitychange', change);
    return () => document.removeEventListener('visibilitychange', change);
  }, []);
  return visible;
}

/** The time, for ages and durations that grow while nothing arrives. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export { asApiError };
