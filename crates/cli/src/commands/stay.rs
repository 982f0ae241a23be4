//! What `streamctl run --stay` adds to `run`: an address that people can guess, room for
//! other jobs, and what there is to see. Called by `run.rs`.

use std::net::{SocketAddr, TcpListener};

use super::cluster::DEFAULT_HTTP;
use crate::exit::Failure;
use crate::settings::Settings;

/// Slots beyond what the job needs, for jobs that are submitted while the cluster stays up.
pub(super) const ROOM: u32 = 4;

/// Where the web UI will be.
pub(super) struct Place {
    pub addr: SocketAddr,
    /// Said when it is not the usual one.
    pub note: Option<String>,
}

/// The address asked for, else the job manager's usual one, else any free port.
pub(super) fn place(settings: &Settings, asked: Option<&str>) -> Result<Place, Failure> {
    let addr = settings.address("http-addr", asked, DEFAULT_HTTP)?;
    if settings.text("http-addr", asked).is_some() || is_free(addr) {
        return Ok(Place { addr, note: None });
    }
    let note = format!("{addr} is taken, so the web UI is at another port this time");
    Ok(Place { addr: SocketAddr::new(addr.ip(), 0), note: Some(note) })
}

fn is_free(addr: SocketAddr) -> bool {
    TcpListener::bind(addr).is_ok()
}

/// Where to look, and what there is to see.
pub(super) fn guide(url: &str, id: &str) -> String {
    format!(
        "\nThe web UI is up until you press Ctrl-C, with this job at\n\n    {url}/ui/jobs/{id}\n\
         \n  Topology     what flows where and how fast, how far event time is, who is busy\
         \n  Checkpoints  each as it completes, and who was last\
         \n  Results      rows as they pass: start the tap\
         \n  Why          what holds the job back, in a sentence\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_noticed_and_an_address_asked_for_is_kept() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        assert!(!is_free(taken));
        let settings = Settings::default();
        let asked = place(&settings, Some(&taken.to_string())).unwrap();
        assert_eq!((asked.addr, asked.note), (taken, None));
    }

    #[test]
    fn the_usual_address_or_any_port_of_it() {
        // Whether 8081 is free here is not ours to say.
        let found = place(&Settings::default(), None).unwrap();
        assert!(found.addr.ip().is_loopback());
        assert_eq!(found.note.is_some(), found.addr.port() == 0);
        assert!(found.note.is_some() || found.addr.port() == 8081);
    }
}
