// Job files to start from. They need no data but what the generator makes, and the repository's own.
// Called by `submit.tsx`.
import SILENT from '../../../examples/trouble/silent.yaml?raw';
import SLOW from '../../../examples/trouble/slow.yaml?raw';

interface Example { name: string; group: string; language: 'yaml' | 'sql'; text: string }

export const EXAMPLES: Example[] = [
  {
    name: 'Busiest auctions',
    group: 'Streams',
    language: 'yaml',
    text: `# The auctions with the most bids, every two seconds over the last ten.
apiVersion: weir.dev/v1
kind: StreamJob
metadata: { name: busiest-auctions }
spec:
  parallelism: 2
  checkpoint: { interval: 5s }
  sources:
    bids:
      connector: nexmark
      table: bid
      eventsPerSecond: 20000
      watermark: { column: dateTime, delay: 2s }
  transforms:
    counts:
      type: window
      inputs: [bids]
      keyBy: [auction]
      window: { type: hopping, size: 10s, slide: 2s }
      aggregates: { bids: count(*), highest: max(price) }
    busiest:
      type: topN
      inputs: [counts]
      n: 5
      orderBy: [bids DESC, auction]
      rankColumn: rank
      perWindow: true
  sinks:
    out: { connector: blackhole, inputs: [busiest] }
`,
  },
  {
    name: 'Filter and project',
    group: 'Streams',
    language: 'yaml',
    text: `# Dear bids, with their price in another currency.
apiVersion: weir.dev/v1
kind: StreamJob
metadata: { name: dear-bids }
spec:
  sources:
    bids: { connector: nexmark, table: bid, eventsPerSecond: 1000 }
  transforms:
    dear:
      type: filter
      inputs: [bids]
      where: price > 1000000
    priced:
      type: project
      inputs: [dear]
      select: { auction: auction, bidder: bidder, euros: price * 0.9 }
  sinks:
    out: { connector: blackhole, inputs: [priced] }
`,
  },
  {
    name: 'Busiest auctions in SQL',
    group: 'Streams',
    language: 'sql',
    text: `-- How many bids every auction got, every two seconds.
SET 'pipeline.name' = 'bids-by-auction';

CREATE TABLE bids (
  auction BIGINT,
  price BIGINT,
  dateTime TIMESTAMP(3),
  WATERMARK FOR dateTime AS dateTime - INTERVAL '2' SECOND
) WITH ('connector' = 'nexmark', 'table' = 'bid', 'first-event.rate' = '20000');

CREATE TABLE counts (
  window_start TIMESTAMP(3),
  auction BIGINT,
  bids BIGINT,
  highest BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO counts
SELECT window_start, auction, COUNT(*), MAX(price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(dateTime), INTERVAL '2' SECOND))
GROUP BY window_start, window_end, auction;
`,
  },
  { name: 'Find the slow operator', group: 'Trouble', language: 'yaml', text: SLOW },
  { name: 'A source that falls silent', group: 'Trouble', language: 'yaml', text: SILENT },
];
