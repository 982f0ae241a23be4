// Job files to start from. They need no data but what the generator makes. Called by `submit.tsx`.

export const EXAMPLES: { name: string; language: 'yaml' | 'sql'; text: string }[] = [
  {
    name: 'Busiest auctions',
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
];
