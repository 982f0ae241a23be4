// A router of one file: every view has an address below `/ui/`. Called by `app.tsx` and links.
import { useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from 'react';

const BASE = '/ui';
const listeners = new Set<() => void>();
const notify = () => listeners.forEach((f) => f());
window.addEventListener('popstate', notify);

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

const here = () => location.pathname + location.search;

export interface Place { path: string; parts: string[]; query: URLSearchParams }

export function usePlace(): Place {
  const full = useSyncExternalStore(subscribe, here);
  const url = new URL(full, location.origin);
  const path = url.pathname.startsWith(BASE) ? url.pathname.slice(BASE.length) || '/' : url.pathname;
  return { path, parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: url.searchParams };
}

export const href = (to: string) => BASE + (to.startsWith('/') ? to : `/${to}`);

export function navigate(to: string, options: { replace?: boolean } = {}) {
  if (href(to) === here()) return;
  if (options.replace) history.replaceState(null, '', href(to));
  else history.pushState(null, '', href(to));
  notify();
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { to: string };

export function Link({ to, onClick, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={href(to)} onClick={follow} {...rest} />;
}
