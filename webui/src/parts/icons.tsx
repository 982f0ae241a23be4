// The icons, drawn here: no font and no download. Called by the other parts and views.

const PATHS = {
  play: 'M5 3.500v9l7.500-4.500z',
  stop: 'M4 4h8v8H4z',
  check: 'M3.500 8.500l3 3 6-7',
  cross: 'M4 4l8 8M12 4l-8 8',
  warning: 'M8 2.500l6 11H2zM8 6.500v3.200M8 11.300v.4',
  info: 'M8 7v4.500M8 4.500v.4M8 14.500a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13z',
  clock: 'M8 14.500a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM8 4.500V8l2.500 1.500',
  restart: 'M13 8a5 5 0 1 1-1.500-3.600M12.500 1.800v3h-3',
  dot: 'M8 9.500a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3z',
  copy: 'M5.500 5.500h7v8h-7zM10.500 5.500v-3h-7v8h2',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.700 10.700L14 14',
  up: 'M4 10l4-4 4 4',
  down: 'M4 6l4 4 4-4',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  moon: 'M13.500 9.500A6 6 0 0 1 6.500 2.500a6 6 0 1 0 7 7z',
  auto: 'M8 14.500a6.500 6.500 0 1 0 0-13zM8 14.500a6.500 6.500 0 1 1 0-13',
  camera: 'M2 5h3l1-1.500h4L11 5h3v8H2zM8 11.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z',
  plus: 'M8 3v10M3 8h10',
  flame: 'M8 14.500c-3 0-4.500-2-4.500-4.200C3.500 7 7 5.500 7 1.500c2.500 1.200 5.500 4.500 5.500 8.300 0 2.700-1.700 4.700-4.500 4.700z',
  tap: 'M2 8h4l1.500-4.500 2 9L11 8h3',
  jobs: 'M2.500 3h4v4h-4zM9.500 9h4v4h-4zM4.500 7v4h5',
  server: 'M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5v.1M5 11v.1',
  home: 'M2.500 8L8 3l5.500 5M4 7v6.500h8V7',
  submit: 'M8 11V3M4.500 6L8 2.500 11.500 6M2.500 13.500h11',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  const filled = name === 'play' || name === 'stop' || name === 'dot';
  return (
    <svg className="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path
        d={PATHS[name]}
        fill={filled ? 'currentColor' : 'none'}
        stroke={filled ? 'none' : 'currentColor'}
        strokeWidth="1.500"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
