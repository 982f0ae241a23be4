//! The combined watermark of several channels: the least of those that are not idle.
//! Pure. Called by `input_gate.rs`.

use model::Watermark;

/// What the combination of all channels came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combined {
    /// It rose to this.
    Watermark(Watermark),
    /// Every channel that has not ended is idle now.
    Idle,
}

/// Watermarks of one gate's channels.
#[derive(Debug)]
pub struct WatermarkCombiner {
    channels: Vec<Channel>,
    emitted: Watermark,
    /// `Idle` was the last thing reported.
    idle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    Idle,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: Watermark,
    status: Status,
}

impl WatermarkCombiner {
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: Watermark::MIN, status: Status::Active };
        Self { channels: vec![channel; channels], emitted: Watermark::MIN, idle: false }
    }

    /// `channel` sent a watermark; one that falls is ignored, but ends its idleness.
    pub fn on_watermark(&mut self, channel: usize, watermark: Watermark) -> Option<Combined> {
        let state = &mut self.channels[channel];
        let rose = watermark > state.watermark;
        let woke = state.status == Status::Idle;
        if !rose && !woke {
            return None;
        }
        state.watermark = state.watermark.max(watermark);
        if woke {
            state.status = Status::Active;
        }
        self.combine()
    }

    /// `channel` sent rows.
    #[inline]
    pub fn on_rows(&mut self, channel: usize) -> Option<Combined> {
        if self.channels[channel].status != Status::Idle {
            return None;
        }
        self.channels[channel].status = Status::Active;
        self.combine()
    }

    /// `channel` will send nothing for a while.
    pub fn on_idle(&mut self, channel: usize) -> Option<Combined> {
        if self.channels[channel].status != Status::Active {
            return None;
        }
        self.channels[channel].status = Status::Idle;
        self.combine()
    }

    /// `channel` will never send anything again.
    pub fn on_end(&mut self, channel: usize) -> Option<Combined> {
        self.channels[channel].status = Status::Ended;
        self.combine()
    }

    /// The combined watermark as reported so far.
    pub fn current(&self) -> Watermark {
        self.emitted
    }

    fn combine(&mut self) -> Option<Combined> {
        let of = |status| self.channels.iter().filter(move |c| c.status == status);
        match of(Status::Active).map(|c| c.watermark).min() {
            Some(least) => {
                // Rows wake the consumers of an idle input by themselves.
                let was_idle = std::mem::take(&mut self.idle);
                let rises = least > self.emitted;
                self.emitted = self.emitted.max(least);
                let tell = rises || (was_idle && self.emitted > Watermark::MIN);
                tell.then_some(Combined::Watermark(self.emitted))
            }
            None if of(Status::Idle).next().is_some() => {
                (!std::mem::replace(&mut self.idle, true)).then_some(Combined::Idle)
            }
            // All ended: the end of input says the rest.
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
