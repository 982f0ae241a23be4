// The page's title. Called by every view.
import { useEffect } from 'react';

export function useTitle(title: string) {
  useEffect(() => {
    document.title = `${title} · Weir`;
  }, [title]);
}
