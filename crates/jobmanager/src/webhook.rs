//! Tells somebody of a breached SLO, and of its end, over HTTP. [`Outbox`] decides what is
//! sent when (pure); [`post`] sends one. Driven by `observer.rs`.
//!
//! The body is JSON. `X-Weir-Timestamp` is in seconds since the epoch and
//! `X-Weir-Signature` is `sha256=` and the HMAC-SHA-256, in hexadecimal digits, of the
//! timestamp, a full stop and the body. `X-Weir-Delivery` is the same in every repetition.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::config::WebhookConfig;
use model::{Error, JobId, Result};
use ring::hmac;
use serde::Serialize;

use crate::job_environment::JobEnvironment;
use crate::slo::SloKind;

/// After so long nobody wants to know any more.
pub const GIVE_UP_AFTER_MS: i64 = 24 * 3_600_000;
/// Pauses between attempts: from the first, doubling, to the last.
const PAUSES_MS: (i64, i64) = (1_000, 600_000);
/// Notifications that may wait, of all jobs together.
pub const MAX_WAITING: usize = 1_000;
/// How long a receiver may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the newest notification about an SLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WebhookState {
    /// Nothing was to be sent.
    #[default]
    None,
    Sent,
    /// On its way, or not taken yet.
    Retrying,
    Failed,
}

/// What the notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub job: JobId,
    pub slo: SloKind,
}

/// One notification to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: u64,
    pub target: WebhookConfig,
    pub body: String,
}

#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    subject: Subject,
    created_ms: i64,
    attempts: u32,
    next_at_ms: i64,
    in_flight: bool,
}

/// Notifications until they are taken. Those about one SLO of one job leave in their order.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Waiting>,
    states: BTreeMap<Subject, WebhookState>,
    drawn: u64,
}

impl Outbox {
    pub fn push(&mut self, now_ms: i64, subject: Subject, target: WebhookConfig, body: String) {
        if self.waiting.len() >= MAX_WAITING
            && let Some(dropped) = self.waiting.pop_front()
        {
            tracing::warn!(job = %dropped.subject.job, "too many webhooks wait; the oldest is dropped");
            self.states.insert(dropped.subject, WebhookState::Failed);
        }
        self.drawn += 1;
        self.states.insert(subject, WebhookState::Retrying);
        self.waiting.push_back(Waiting {
            delivery: Delivery { id: self.drawn, target, body },
            subject,
            created_ms: now_ms,
            attempts: 0,
            next_at_ms: now_ms,
            in_flight: false,
        });
    }

    /// What is to be sent now. Each must be answered with [`Self::done`].
    pub fn due(&mut self, now_ms: i64) -> Vec<Delivery> {
        let mut due = Vec::new();
        let mut earlier = std::collections::BTreeSet::new();
        for waiting in &mut self.waiting {
            let first = earlier.insert(waiting.subject);
            if first && !waiting.in_flight && now_ms >= waiting.next_at_ms {
                waiting.in_flight = true;
                due.push(waiting.delivery.clone());
            }
        }
        due
    }

    /// `taken`: the receiver answered 2xx.
    pub fn done(&mut self, now_ms: i64, id: u64, taken: bool) {
        let Some(index) = self.waiting.iter().position(|w| w.delivery.id == id) else { return };
        let waiting = &mut self.waiting[index];
        waiting.in_flight = false;
        waiting.attempts += 1;
        let pause = (PAUSES_MS.0 << (waiting.attempts - 1).min(20)).min(PAUSES_MS.1);
        waiting.next_at_ms = now_ms + pause;
        let state = match taken {
            true => WebhookState::Sent,
            false if waiting.next_at_ms - waiting.created_ms > GIVE_UP_AFTER_MS => {
                WebhookState::Failed
            }
            false => return,
        };
        let subject = waiting.subject;
        self.waiting.remove(index);
        if self.waiting.iter().all(|w| w.subject != subject) {
            self.states.insert(subject, state);
        }
    }

    pub fn state(&self, subject: Subject) -> WebhookState {
        self.states.get(&subject).copied().unwrap_or_default()
    }

    /// The job is forgotten. What waits is still sent.
    pub fn forget(&mut self, job: JobId) {
        self.states.retain(|subject, _| subject.job != job);
    }
}

/// `sha256=HEX`.
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// The text with every `${env:NAME}` replaced.
///
/// # Errors
/// User: a variable is not set.
pub fn resolved(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${env:") {
        out.push_str(&rest[..start]);
        let tail = &rest[start + 6..];
        let Some(end) = tail.find('}') else {
            return Err(Error::user("a reference in a webhook is not closed"));
        };
        let (name, default) = match tail[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (&tail[..end], None),
        };
        let value = env(name).or(default).ok_or_else(|| {
            Error::user(format!("the webhook needs `{name}`, which is not set or not among what --job-env lets jobs read"))
        })?;
        out.push_str(&value);
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Sends one notification. `Ok`: it was taken.
///
/// # Errors
/// External: no answer, or not 2xx. User: a reference cannot be resolved.
pub async fn post(
    client: &reqwest::Client,
    delivery: &Delivery,
    now_ms: i64,
    environment: &JobEnvironment,
) -> Result<()> {
    let env = |name: &str| environment.value(name);
    let url = resolved(&delivery.target.url, env)?;
    let timestamp = now_ms / 1000;
    let mut request = client
        .post(url)
        .timeout(PATIENCE)
        .header("content-type", "application/json")
        .header("x-weir-delivery", delivery.id.to_string())
        .header("x-weir-timestamp", timestamp.to_string());
    if let Some(secret) = &delivery.target.secret {
        let secret = resolved(secret, env)?;
        request = request.header("x-weir-signature", signature(&secret, timestamp, &delivery.body));
    }
    // The error's text may hold the URL, hence a secret.
    let answer = request.body(delivery.body.clone()).send().await.map_err(|e| {
        Error::external(format!("the webhook was not reached: {}", e.without_url()))
    })?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(Error::external(format!("the webhook answered {}", answer.status())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(job: u128) -> Subject {
        Subject { job: JobId(job), slo: SloKind::Silence }
    }

    fn target() -> WebhookConfig {
        WebhookConfig { url: "http://127.0.0.1:1/".into(), secret: None }
    }

    #[test]
    fn signatures_are_hmac_sha_256() {
        // RFC 4231, case 2: the key and data are the standard's, split at the full stop.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let tag = hmac::sign(&key, b"what do ya want for nothing?");
        assert_eq!(tag.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let expected = hmac::sign(&key, b"17.{}");
        let digits: String = expected.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(signature("Jefe", 17, "{}"), format!("sha256={digits}"));
    }

    #[test]
    fn references_are_resolved_when_sent() {
        let env = |name: &str| (name == "TOKEN").then(|| "s3".to_owned());
        assert_eq!(resolved("http://h/${env:TOKEN}/x", env).unwrap(), "http://h/s3/x");
        assert_eq!(resolved("${env:NO:-d}", env).unwrap(), "d");
        assert!(resolved("${env:NO}", env).unwrap_err().message().contains("`NO`"));
    }

    #[test]
    fn a_receiver_that_is_away_is_asked_again_ever_less_often() {
        let mut outbox = Outbox::default();
        outbox.push(0, subject(1), target(), "fire".into());
        outbox.push(0, subject(1), target(), "clear".into());
        outbox.push(0, subject(2), target(), "other".into());
        let bodies = |due: &[Delivery]| due.iter().map(|d| d.body.clone()).collect::<Vec<_>>();
        let due = outbox.due(0);
        assert_eq!(bodies(&due), ["fire", "other"], "the end waits for the beginning");
        assert!(outbox.due(0).is_empty(), "nothing is sent twice at a time");
        outbox.done(5, due[0].id, false);
        outbox.done(5, due[1].id, true);
        assert_eq!(outbox.state(subject(2)), WebhookState::Sent);
        assert_eq!(outbox.state(subject(1)), WebhookState::Retrying);
        assert!(outbox.due(1_000).is_empty());
        let again = outbox.due(1_005);
        assert_eq!(bodies(&again), ["fire"]);
        outbox.done(1_010, again[0].id, false);
        assert!(outbox.due(3_009).is_empty(), "two seconds now");
        let again = outbox.due(3_010);
        outbox.done(3_010, again[0].id, true);
        assert_eq!(outbox.state(subject(1)), WebhookState::Retrying, "the end is still to go");
        let last = outbox.due(3_010);
        assert_eq!(bodies(&last), ["clear"]);
        outbox.done(3_010, last[0].id, true);
        assert_eq!(outbox.state(subject(1)), WebhookState::Sent);
    }

    #[test]
    fn it_is_given_up_after_a_day() {
        let mut outbox = Outbox::default();
        outbox.push(0, subject(1), target(), "fire".into());
        let (mut now, mut attempts) = (0, 0);
        while outbox.state(subject(1)) == WebhookState::Retrying {
            for delivery in outbox.due(now) {
                attempts += 1;
                outbox.done(now, delivery.id, false);
            }
            now += 1_000;
        }
        assert_eq!(outbox.state(subject(1)), WebhookState::Failed);
        assert!((100..200).contains(&attempts), "{attempts}");
        assert!(now <= GIVE_UP_AFTER_MS);
    }

    #[test]
    fn the_outbox_is_bounded() {
        let mut outbox = Outbox::default();
        for job in 0..MAX_WAITING as u128 + 10 {
            outbox.push(0, subject(job), target(), String::new());
        }
        assert_eq!(outbox.due(0).len(), MAX_WAITING);
        assert_eq!(outbox.state(subject(3)), WebhookState::Failed);
    }
}
