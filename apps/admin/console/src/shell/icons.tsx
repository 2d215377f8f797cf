/** Outlines in a square of 16. */
const outlines = {
  home: 'M2.5 7.5 8 3l5.5 4.5M4 7v6h8V7',
  requests: 'M2 5c2 0 2 1.5 4 1.5S8 5 10 5s2 1.5 4 1.5M2 10c2 0 2 1.5 4 1.5S8 10 10 10s2 1.5 4 1.5',
  queue: 'M3 4h10M3 8h10M3 12h6',
  fleet: 'M2.5 3h4.5v4.5H2.5zM9 3h4.5v4.5H9zM2.5 9.5H7V14H2.5zM9 9.5h4.5V14H9z',
  upstreams: 'M8 13V4M4.5 7 8 3.5 11.5 7M3 13h10',
  usage: 'M3 13V9M8 13V4M13 13V7',
  keys: 'M9.5 6.5a3 3 0 1 0-2.2 2.9L8.5 10.6h1.5v1.5h1.5v1.4h2v-2L9.3 7.4a3 3 0 0 0 .2-.9zM5.5 5.5h.1',
  audit: 'M4 2.5h8v11H4zM6 6h4M6 8.5h4M6 11h2',
  debug: 'M7 12a5 5 0 1 1 0-10 5 5 0 0 1 0 10zM10.6 10.6 14 14',
  webhooks: 'M9 2 4 9h4l-1 5 5-7H8z',
  config: 'M2.5 5h6M11.5 5h2M2.5 11h2M7.5 11h6M10 3.5v3M6 9.5v3',
  board: 'M2.5 3h11v10h-11zM2.5 6.5h11M6.5 6.5V13',
  playground: 'M5 3l8 5-8 5z',
  setup: 'M5.5 5 2.5 8l3 3M10.5 5l3 3-3 3M9 3.5l-2 9',
} as const;

export type IconName = keyof typeof outlines;

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d={outlines[name]} />
  </svg>
);
