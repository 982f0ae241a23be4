//! Tells a profile which task a sample is of. Tasks take turns on a thread, and the sampler
//! knows threads and calls only: so while a profile is taken, a thread bears the name of the
//! task whose turn it is, and the turn is taken through a function of its own. Otherwise a
//! turn costs one look at a flag. Used by `taskmanager`.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::profile;

/// What the names of threads begin with while they run a marked task.
const PREFIX: &str = "task-";

/// A future whose turns a profile tells from others', by `number`.
pub struct Marked<F> {
    inner: F,
    number: u32,
}

impl<F> Marked<F> {
    pub fn new(inner: F, number: u32) -> Self {
        Self { inner, number }
    }
}

impl<F: Future + Unpin> Future for Marked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !profile::is_taken() {
            return Pin::new(&mut self.inner).poll(cx);
        }
        let _renamed = Renamed::to(self.number);
        let turn = TURNS[self.number as usize % TURNS.len()];
        let mut polled = Poll::Pending;
        turn(&mut || polled = Pin::new(&mut self.inner).poll(cx));
        polled
    }
}

type Turn = fn(&mut dyn FnMut());

/// The sampler adds up equal stacks of a thread whatever its name: with different functions
/// below them, the stacks of tasks that do the same are not equal.
#[inline(never)]
fn turn<const N: usize>(poll: &mut dyn FnMut()) {
    poll();
    // Else all of them would be one function to the compiler.
    std::hint::black_box(N);
}

macro_rules! turns {
    ($($n:literal)*) => { [$(turn::<$n>),*] };
}

/// As many as tasks usually share a thread.
const TURNS: [Turn; 32] = turns!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
);

/// The number in the name of a thread, if it is the name of a marked task.
pub fn marked_number(thread: &str) -> Option<u32> {
    thread.strip_prefix(PREFIX)?.parse().ok()
}

/// Until it is dropped, this thread is called after a task.
struct Renamed;

impl Renamed {
    fn to(number: u32) -> Self {
        // 15 bytes at most, which is what the kernel keeps.
        set_name(&format!("{PREFIX}{number}"));
        Self
    }
}

impl Drop for Renamed {
    fn drop(&mut self) {
        let own = std::thread::current();
        set_name(own.name().unwrap_or("unnamed"));
    }
}

/// Linux only; elsewhere samples stay with their thread.
fn set_name(name: &str) {
    thread_local! {
        static COMM: OnceCell<Option<File>> = const { OnceCell::new() };
    }
    COMM.with(|comm| {
        let open = || File::options().write(true).open("/proc/thread-self/comm").ok();
        if let Some(mut comm) = comm.get_or_init(open).as_ref() {
            // A sample with the wrong name is all that can go wrong.
            let _ = comm.write_all(name.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tasks_have_a_number() {
        assert_eq!(marked_number("task-4294967295"), Some(u32::MAX));
        for other in ["core-0", "task-", "task-x", "tokio-runtime-w"] {
            assert_eq!(marked_number(other), None, "{other}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_has_its_name_back() {
        let thread = std::thread::Builder::new().name("core-7".into()).spawn(|| {
            let name = || std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            let renamed = Renamed::to(12);
            let during = name();
            drop(renamed);
            (during, name())
        });
        let names = thread.unwrap().join().unwrap();
        assert_eq!(names, ("task-12\n".to_owned(), "core-7\n".to_owned()));
    }
}
