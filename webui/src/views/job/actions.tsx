// What can be done to a job: trigger a checkpoint, cancel it, submit it again from a checkpoint.
// Each says which `streamctl` line does the same.
import { useState } from 'react';
import { asApiError, useOnce } from '../../api/live';
import { getJson, postJson, type ApiError } from '../../api/client';
import { checkpointNumber } from '../../api/normalise';
import type { Job } from '../../api/types';
import { duration, quoted } from '../../format';
import { CommandLine, Dialog, ErrorNote, Note } from '../../parts/basics';
import { Icon } from '../../parts/icons';
import { navigate } from '../../router';
import { keepDraft, type Language } from '../draft';
import { ENDED } from './job';

type Action = 'checkpoint' | 'cancel' | 'resubmit';

export function Actions({ job }: { job: Job }) {
  const [open, setOpen] = useState<Action | null>(null);
  const over = ENDED.includes(job.status);
  return (
    <div className="actions">
      {!over && (
        <button type="button" className="button" onClick={() => setOpen('checkpoint')}>
          <Icon name="camera" />
          <span>
            <span className="long">Trigger </span>checkpoint
          </span>
        </button>
      )}
      {(job.checkpoints.latest?.path || over) && (
        <button type="button" className="button" onClick={() => setOpen('resubmit')}>
          <Icon name="restart" />
          Resubmit
        </button>
      )}
      {!over && (
        <button type="button" className="button danger" onClick={() => setOpen('cancel')} disabled={job.status === 'CANCELLING'}>
          <Icon name="stop" />
          Cancel
        </button>
      )}
      {open === 'checkpoint' && <TriggerDialog job={job} onClose={() => setOpen(null)} />}
      {open === 'cancel' && <CancelDialog job={job} onClose={() => setOpen(null)} />}
      {open === 'resubmit' && <ResubmitDialog job={job} onClose={() => setOpen(null)} />}
    </div>
  );
}

/** Runs one call and keeps what became of it. */
export function useCall<T>() {
  const [state, setState] = useState<{ busy: boolean; error: ApiError | null; done: T | null }>({ busy: false, error: null, done: null });
  const run = async (call: () => Promise<T>): Promise<T | null> => {
    setState({ busy: true, error: null, done: null });
    try {
      const done = await call();
      setState({ busy: false, error: null, done });
      return done;
    } catch (cause) {
      setState({ busy: false, error: asApiError(cause), done: null });
      return null;
    }
  };
  return { ...state, run };
}

interface Props { job: Job; onClose: () => void }

function TriggerDialog({ job, onClose }: Props) {
  const call = useCall<Record<string, unknown>>();
  const trigger = () => call.run(() => postJson(`/jobs/${job.id}/checkpoints`));
  const id = call.done ? checkpointNumber(call.done.id) : null;
  return (
    <Dialog title="Trigger a checkpoint" onClose={onClose}>
      <p>Takes a checkpoint of {job.name} now, beside the periodic ones, and waits until it is committed.</p>
      <CommandLine>{`streamctl checkpoint trigger ${quoted(job.name)}`}</CommandLine>
      {call.error && <ErrorNote error={call.error} />}
      {id !== null && (
        <Note tone="good" title={`Checkpoint ${id} is complete`}>
          It took {duration(call.done?.durationMs as number | null)}.
        </Note>
      )}
      <div className="dialog-actions">
        {id !== null ? (
          <button
            type="button"
            className="button primary"
            onClick={() => {
              onClose();
              navigate(`/jobs/${job.id}/checkpoints/${id}`);
            }}
          >
            Show it
          </button>
        ) : (
          <button type="button" className="button primary" onClick={trigger} disabled={call.busy} autoFocus>
            {call.busy ? 'Waiting for it…' : 'Trigger checkpoint'}
          </button>
        )}
      </div>
    </Dialog>
  );
}

const keeps = (raw: any): boolean | null => raw.checkpoint?.retainOnCancellation ?? null;

/** What becomes of what the job knows. `kept`: `checkpoint.retainOnCancellation`, when it is known. */
function lost(job: Job, kept: boolean | null): string {
  const { latest } = job.checkpoints;
  if (!latest) return 'It has no checkpoint: submitted again, it starts from the beginning.';
  if (kept === null) return '';
  return kept
    ? `Its checkpoints stay: submitted again from checkpoint ${latest.id}, it reads what came since once more.`
    : 'Its checkpoints are deleted, as its file does not set checkpoint.retainOnCancellation: submitted again, it starts from the beginning.';
}

function CancelDialog({ job, onClose }: Props) {
  const call = useCall<unknown>();
  const kept = useOnce(`/jobs/${job.id}/config`, keeps);
  const cancel = async () => {
    if (await call.run(() => postJson(`/jobs/${job.id}/cancel`))) onClose();
  };
  return (
    <Dialog title={`Cancel ${job.name}?`} onClose={onClose}>
      <p>
        Its tasks stop at once. {lost(job, kept.data ?? null)}
      </p>
      <CommandLine>{`streamctl cancel ${quoted(job.name)}`}</CommandLine>
      {call.error && <ErrorNote error={call.error} />}
      <div className="dialog-actions">
        <button type="button" className="button" onClick={onClose}>
          Keep it running
        </button>
        <button type="button" className="button danger solid" onClick={cancel} disabled={call.busy}>
          Cancel the job
        </button>
      </div>
    </Dialog>
  );
}

function ResubmitDialog({ job, onClose }: Props) {
  const [busy, setBusy] = useState(false);
  const from = job.checkpoints.latest?.path ?? null;
  const over = ENDED.includes(job.status);
  const open = async (path: string | null) => {
    setBusy(true);
    const source = await jobText(job.id).catch(() => ({ text: '', language: 'yaml' as const }));
    keepDraft(source.text, source.language);
    navigate(path ? `/submit?from=${encodeURIComponent(path)}` : '/submit');
  };
  return (
    <Dialog title={`Submit ${job.name} again`} onClose={onClose}>
      <p>
        Opens the job file in the editor{from ? `, to start from checkpoint ${job.checkpoints.latest?.id}` : ''}.
        {over && !from && ' It has no checkpoint to start from.'}
        {!over && ' This job keeps running until it is cancelled: two jobs with the same sinks write twice.'}
      </p>
      <CommandLine>{`streamctl submit job.yaml${from ? ` --from ${quoted(from)}` : ''}`}</CommandLine>
      <div className="dialog-actions">
        {from && (
          <button type="button" className="button" onClick={() => open(null)} disabled={busy}>
            From the beginning
          </button>
        )}
        <button type="button" className="button primary" onClick={() => open(from)} disabled={busy}>
          {from ? 'From the last checkpoint' : 'From the beginning'}
        </button>
      </div>
    </Dialog>
  );
}

/** The job file as submitted: from its route, or from the graph on older servers. */
async function jobText(id: string): Promise<{ text: string; language: Language }> {
  try {
    const source = await getJson<{ text: string | null; format: string }>(`/jobs/${id}/source`);
    return { text: source.text ?? '', language: source.format === 'sql' ? 'sql' : 'yaml' };
  } catch {
    const graph = await getJson<{ jobFile?: string }>(`/jobs/${id}/graph`);
    return { text: graph.jobFile ?? '', language: 'yaml' };
  }
}
