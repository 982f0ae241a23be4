//! The input gates of the tasks in this process, by channel: where producers, here and in
//! other processes, find their consumer. Filled by `exchange.rs` on behalf of tasks, read
//! by `exchange.rs` (local channels) and `data_server.rs` (remote ones).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::deployment::ChannelId;
use model::{Error, Result};
use runtime::channel::GateHandle;
use tokio::sync::Notify;

/// How long a producer waits for its consumer to be deployed and to restore its state to
/// the point where it opens its inputs.
pub(crate) const REGISTRATION_PATIENCE: Duration = Duration::from_secs(30);

/// Called when the consumer of a channel has ended while the channel was open.
pub(crate) type OnEnd = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct GateRegistry {
    gates: Mutex<BTreeMap<ChannelId, Entry>>,
    registered: Notify,
}

struct Entry {
    gate: GateHandle,
    index: usize,
    on_end: Option<OnEnd>,
}

impl GateRegistry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Entry>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `channels[i]` is channel `i` of `gate`.
    pub(crate) fn register(&self, channels: Vec<ChannelId>, gate: &GateHandle) {
        let mut gates = self.lock();
        for (index, channel) in channels.into_iter().enumerate() {
            gates.insert(channel, Entry { gate: gate.clone(), index, on_end: None });
        }
        drop(gates);
        self.registered.notify_waiters();
    }

    /// The consumer has ended: producers of channels that are still open are told.
    pub(crate) fn unregister(&self, channels: &[ChannelId]) {
        let mut gates = self.lock();
        let ended: Vec<OnEnd> =
            channels.iter().filter_map(|c| gates.remove(c)).filter_map(|e| e.on_end).collect();
        drop(gates);
        for on_end in ended {
            on_end();
        }
    }

    fn find(&self, channel: &ChannelId) -> Option<(GateHandle, usize)> {
        self.lock().get(channel).map(|entry| (entry.gate.clone(), entry.index))
    }

    /// Waits for the consumer of `channel`. Fails with kind External after
    /// [`REGISTRATION_PATIENCE`]. Needs a tokio runtime with timers.
    pub(crate) async fn registered(&self, channel: ChannelId) -> Result<(GateHandle, usize)> {
        let wait = async {
            loop {
                let registered = self.registered.notified();
                tokio::pin!(registered);
                registered.as_mut().enable();
                if let Some(found) = self.find(&channel) {
                    return found;
                }
                registered.await;
            }
        };
        tokio::time::timeout(REGISTRATION_PATIENCE, wait).await.map_err(|_| {
            Error::external(format!(
                "the consuming task of {} did not open its inputs within {} s",
                name(&channel),
                REGISTRATION_PATIENCE.as_secs()
            ))
        })
    }

    /// A remote producer uses the channel from now on. False when the consumer has ended
    /// meanwhile, or when another producer already uses it.
    pub(crate) fn attach(&self, channel: &ChannelId, on_end: OnEnd) -> bool {
        match self.lock().get_mut(channel) {
            Some(entry) if entry.on_end.is_none() => {
                entry.on_end = Some(on_end);
                true
            }
            _ => false,
        }
    }

    /// The producer has sent its last element, or is cut off: it need not be told anything.
    pub(crate) fn detach(&self, channel: &ChannelId) {
        if let Some(entry) = self.lock().get_mut(channel) {
            entry.on_end = Some(Box::new(|| {}));
        }
    }
}

/// A channel as errors and logs name it.
pub(crate) fn name(channel: &ChannelId) -> String {
    format!(
        "channel {}->{} of edge {} (job {}, attempt {})",
        channel.from, channel.to, channel.edge, channel.job, channel.attempt
    )
}

/// Shares one registry between the exchange and the data server.
pub(crate) type Gates = Arc<GateRegistry>;
