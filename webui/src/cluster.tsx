// The state of the whole cluster, asked for once and shared: the list of jobs and the overview,
// live. Made by `app.tsx`, read by the overview, the task managers and the submit view.
import { createContext, useContext, useState, type ReactNode } from 'react';
import * as normalise from './api/normalise';
import { useLive, type Live } from './api/live';
import type { JobRow, Overview } from './api/types';

interface Cluster { jobs: Live<JobRow[]>; overview: Overview | null }

const Context = createContext<Cluster | null>(null);

export function ClusterProvider({ children }: { children: ReactNode }) {
  const [sent, setSent] = useState<Overview | null>(null);
  const jobs = useLive('/jobs', normalise.jobRows, {
    events: '/events',
    eventName: 'jobs',
    also: (event) => event.event === 'overview' && setSent(normalise.overview(JSON.parse(event.data))),
  });
  const asked = useLive(sent && jobs.link === 'live' ? null : '/overview', normalise.overview, { everyMs: 2000 });
  return <Context.Provider value={{ jobs, overview: jobs.link === 'live' && sent ? sent : asked.data ?? sent }}>{children}</Context.Provider>;
}

export function useCluster(): Cluster {
  const cluster = useContext(Context);
  if (!cluster) throw new Error('useCluster outside ClusterProvider');
  return cluster;
}
