// Says whether what is shown is live. Called by the heads of the live views.
import type { Live } from '../api/live';
import { Icon } from './icons';

const WORDS: Record<Live<unknown>['link'], string> = {
  connecting: 'Connecting',
  live: 'Live',
  polling: 'Live, every second',
  lost: 'Connection lost, retrying',
};

export function LinkState({ link }: { link: Live<unknown>['link'] }) {
  return (
    <span className={`link-state ${link}`} role="status">
      {link === 'lost' ? <Icon name="warning" /> : <span className="pulse" aria-hidden="true" />}
      {WORDS[link]}
    </span>
  );
}
