// Calls of the HTTP API: base address, token, errors, and server-sent events through `fetch`
// (EventSource cannot send an Authorization header). Called by every view through `live.ts`.

const TOKEN = 'weir.token';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly help: string | null,
    readonly body: Record<string, unknown> | null = null,
  ) {
    super(message);
  }
}

let waiting: ((token: string | null) => void)[] = [];
let askForToken: (() => void) | null = null;
/** The user closed the question: it is not put again before the page is loaded again. */
let declined = false;

function storedToken(): string | null {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

/** The app registers how it asks for the token; requests wait until `giveToken`. */
export function onTokenNeeded(ask: () => void) {
  askForToken = ask;
}

export function giveToken(token: string | null) {
  declined = token === null;
  try {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // Storage is off: the token lives as long as the waiting requests.
  }
  const resume = waiting;
  waiting = [];
  resume.forEach((go) => go(token));
}

async function errorOf(answer: Response): Promise<ApiError> {
  let body: Record<string, any> | null = null; // eslint-disable-line -- untyped wire
  try {
    body = await answer.json();
  } catch {
    // Not JSON: a proxy answered.
  }
  const error = body?.error ?? {};
  const message = typeof error.message === 'string' ? error.message : `the server answered ${answer.status}`;
  return new ApiError(answer.status, error.code ?? 'HTTP', message, error.help ?? null, error);
}

async function send(path: string, init: RequestInit, token = storedToken()): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, { ...init, headers, cache: 'no-store' });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, 'UNREACHABLE', 'the job manager does not answer', 'is it running, and is its address right?');
  }
  if (answer.status === 401 && askForToken && !declined) {
    const given = await new Promise<string | null>((resolve) => {
      waiting.push(resolve);
      askForToken?.();
    });
    if (given) return send(path, init, given);
  }
  if (!answer.ok) throw await errorOf(answer);
  return answer;
}

export async function getJson<T = Record<string, any>>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, { signal, headers: { accept: 'application/json' } })).json() as Promise<T>;
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await send(path, { signal })).text();
}

export async function postJson<T = Record<string, any>>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method: 'POST', signal, headers: { accept: 'application/json' } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { accept: 'application/json', 'content-type': 'application/json' };
  }
  return (await send(path, init)).json() as Promise<T>;
}

export interface ServerEvent { event: string; data: string; id: string | null }

/** Calls `onEvent` for each event until the stream ends. Rejects when it could not be opened. */
export async function stream(
  path: string,
  init: RequestInit & { onOpen?: () => void; onActivity?: () => void },
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const headers = new Headers(init.headers);
  headers.set('accept', 'text/event-stream');
  const answer = await send(path, { ...init, headers });
  if (!answer.body) return;
  init.onOpen?.();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = eventParser(onEvent);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    init.onActivity?.();
    parse(value);
  }
}

/** Feeds text in pieces; calls back for each complete event. */
export function eventParser(onEvent: (event: ServerEvent) => void): (piece: string) => void {
  let rest = '';
  let event = 'message';
  let data: string[] = [];
  let id: string | null = null;
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (data.length > 0) onEvent({ event, data: data.join('\n'), id });
        event = 'message';
        data = [];
      } else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      else if (line.startsWith('event:')) event = line.slice(6).trim();
      else if (line.startsWith('id:')) id = line.slice(3).trim();
    }
  };
}
