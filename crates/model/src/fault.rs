//! Fault points: named places at which a test makes the process die, at exactly the nth
//! time it gets there. Armed by the environment variable `WEIR_FAULT` alone, for example
//! `WEIR_FAULT=manifest-written:abort@3`; without it a point is one load of a constant.
//! Passed by `runtime` (uploads, restores) and `jobmanager` (manifests, commits).
//!
//! `abort` ends the process at once, as SIGKILL would: nothing is flushed, closed or told.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The variable that arms fault points; several are separated by commas.
pub const VARIABLE: &str = "WEIR_FAULT";

/// A place where a process can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// A task's state is encoded, its sink's rows are staged; not all of it is stored.
    StateUpload,
    /// A task's state of a checkpoint is stored, the job manager does not know it yet.
    StateUploaded,
    /// A task has begun to fetch the state it restores.
    StateRestore,
    /// A manifest is written, none of what its sinks staged is visible.
    ManifestWritten,
    /// All that a manifest's sinks staged is visible, nobody has been told.
    SinksCommitted,
}

const POINTS: [FaultPoint; 5] = [
    FaultPoint::StateUpload,
    FaultPoint::StateUploaded,
    FaultPoint::StateRestore,
    FaultPoint::ManifestWritten,
    FaultPoint::SinksCommitted,
];

impl FaultPoint {
    /// Its name in [`VARIABLE`].
    pub fn name(self) -> &'static str {
        match self {
            Self::StateUpload => "state-upload",
            Self::StateUploaded => "state-uploaded",
            Self::StateRestore => "state-restore",
            Self::ManifestWritten => "manifest-written",
            Self::SinksCommitted => "sinks-committed",
        }
    }

    /// The process passes the point; returns unless a test armed it for this time.
    #[inline]
    pub fn pass(self) {
        if let Some(faults) = &*ARMED {
            faults.pass(self, &mut || std::process::abort());
        }
    }
}

static ARMED: LazyLock<Option<Faults>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    match text.parse() {
        Ok(faults) => Some(faults),
        Err(Invalid(problem)) => {
            // Nobody sets the variable but to see the process die, before there is any log.
            #[expect(clippy::print_stderr, reason = "the process ends here")]
            {
                eprintln!("{VARIABLE}: {problem}");
            }
            std::process::exit(2);
        }
    }
});

/// `point:abort@n`: the nth passage of the point.
#[derive(Debug)]
struct Fault {
    point: FaultPoint,
    nth: u64,
    passed: AtomicU64,
}

#[derive(Debug)]
struct Faults(Vec<Fault>);

/// What is wrong with the variable.
#[derive(Debug, PartialEq, Eq)]
struct Invalid(String);

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Faults {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fault = |part: &str| {
            let invalid = || {
                let names: Vec<_> = POINTS.iter().map(|p| p.name()).collect();
                let names = names.join(", ");
                Invalid(format!("`{part}` is not POINT:abort@N; points: {names}"))
            };
            let (name, action) = part.trim().split_once(':').ok_or_else(invalid)?;
            let nth = action.strip_prefix("abort@").ok_or_else(invalid)?;
            let nth = nth.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?;
            let point = POINTS.into_iter().find(|p| p.name() == name).ok_or_else(invalid)?;
            Ok(Fault { point, nth, passed: AtomicU64::new(0) })
        };
        text.split(',').map(fault).collect::<Result<_, _>>().map(Self)
    }
}

impl Faults {
    fn pass(&self, point: FaultPoint, abort: &mut dyn FnMut()) {
        for fault in self.0.iter().filter(|f| f.point == point) {
            if fault.passed.fetch_add(1, SeqCst) + 1 == fault.nth {
                abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_passage_of_the_named_point_and_no_other() {
        let faults: Faults = "manifest-written:abort@3, state-restore:abort@1".parse().unwrap();
        let mut died = Vec::new();
        for n in 1..=5 {
            for point in POINTS {
                faults.pass(point, &mut || died.push((n, point)));
            }
        }
        assert_eq!(died, [(1, FaultPoint::StateRestore), (3, FaultPoint::ManifestWritten)]);
    }

    #[test]
    fn what_is_not_a_fault_is_named() {
        for bad in ["", "manifest-written", "manifest-written:abort@0", "manifest:abort@1"] {
            let Invalid(text) = bad.parse::<Faults>().unwrap_err();
            assert!(text.contains("is not POINT:abort@N"), "{bad}: {text}");
        }
        assert!("state-upload:stop@1".parse::<Faults>().is_err());
    }
}
