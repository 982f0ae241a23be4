//! The job manager's HTTP API as the commands use it.

use std::collections::BTreeMap;
use std::time::Duration;

use safety::Secret;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

/// Talks to one job manager.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    timeout: Duration,
    /// Sent with every request.
    token: Option<Secret>,
}

impl Client {
    pub fn new(server: String, timeout: Duration) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot start an HTTP client: {e}")))?;
        Ok(Self { http, server, timeout, token: None })
    }

    /// Sends `token` with every request.
    #[must_use]
    pub fn with_token(mut self, token: Option<Secret>) -> Self {
        self.token = token;
        self
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.http.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    /// Submits a job file or a script, which is called `name` unless it names itself, to start
    /// `from` a checkpoint, of which it may drop what it has no operator for; returns
    /// `{id, name}`.
    pub async fn submit(
        &self,
        job_file: &str,
        name: Option<&str>,
        from: Option<&str>,
        allow_dropped_state: bool,
    ) -> Result<Value, Failure> {
        let mut body = match sql::looks_like_sql(job_file) {
            true => json!({"text": job_file, "format": "sql", "name": name}),
            false => json!({"jobFile": job_file}),
        };
        body["from"] = json!(from);
        body["allowDroppedState"] = json!(allow_dropped_state);
        // The job manager does not know this environment, and gives jobs nothing of its own.
        let known = jobfile::variables(job_file).into_iter();
        let known = known.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        body["variables"] = json!(known.collect::<BTreeMap<String, String>>());
        self.post("/jobs", &body).await
    }

    pub async fn job(&self, job: &str) -> Result<Value, Failure> {
        self.get(&format!("/jobs/{}", segment(job))).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.server)
    }

    /// An answer that is plain text.
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let request = self.authorized(self.http.get(self.url(path))).timeout(self.timeout);
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success() { Ok(text) } else { Err(self.refused(status, &text)) }
    }

    /// A stream of server-sent events. `each` gets the name and the data of one and answers
    /// whether it wants more. Ends with the stream.
    pub async fn events(
        &self,
        path: &str,
        body: &Value,
        mut each: impl FnMut(&str, &Value) -> bool,
    ) -> Result<(), Failure> {
        let mut events = self.stream(path, body).await?;
        while let Some((name, data)) = events.next().await? {
            if !each(&name, &data) {
                break;
            }
        }
        Ok(())
    }

    /// The same, one event at a time: what is not asked for waits at the server.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Events<'_>, Failure> {
        let request = self.authorized(self.http.post(self.url(path)).json(body));
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.text().await.map_err(|e| self.unreachable(&e))?;
            return Err(self.refused(status, &text));
        }
        Ok(Events { client: self, answer, pending: Vec::new(), searched: 0 })
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let request = self.authorized(request).timeout(self.timeout);
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(self.refused(status, &text))
    }

    /// What an error answer says.
    fn refused(&self, status: reqwest::StatusCode, text: &str) -> Failure {
        let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let error = &body["error"];
        let message = error["message"].as_str().unwrap_or(text.trim()).to_owned();
        let exit = match status.as_u16() {
            404 => Exit::NotFound,
            401 | 403 => Exit::Auth,
            408 | 504 => Exit::Timeout,
            400 | 413 | 422 => Exit::Config,
            _ => Exit::Failed,
        };
        // The job manager's report on a job file comes rendered.
        let is_report = error["code"] == "INVALID_JOB_FILE";
        let mut failure = match is_report {
            true => Failure::rendered(exit, message),
            false if message.is_empty() => {
                Failure::new(exit, format!("{} answered {status}", self.server))
            }
            false => Failure::new(exit, message),
        };
        failure.help = error["help"].as_str().map(str::to_owned);
        failure
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::new(
                Exit::Timeout,
                format!("{} did not answer within {:?}", self.server, self.timeout),
            )
            .help("give it longer with --timeout");
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Failure::new(
            Exit::Failed,
            format!("cannot reach the job manager at {}: {cause}", self.server),
        )
        .help(
            "is `streamctl jobmanager` running? name its address with --server URL or WEIR_SERVER",
        )
    }
}

/// Server-sent events as they come.
pub struct Events<'a> {
    client: &'a Client,
    answer: reqwest::Response,
    pending: Vec<u8>,
    /// So much of it has no end of an event.
    searched: usize,
}

impl Events<'_> {
    /// Name and data; `None` at the end. Comments are left out.
    pub async fn next(&mut self) -> Result<Option<(String, Value)>, Failure> {
        loop {
            let unseen = |events: &Self| {
                let found = events.pending[events.searched..].windows(2).position(|w| w == b"\n\n");
                found.map(|at| events.searched + at)
            };
            while let Some(end) = unseen(self) {
                self.searched = 0;
                let event: Vec<u8> = self.pending.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let field = |key: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|l| l.strip_prefix(key)).map(str::trim_start)
                };
                let (Some(name), Some(data)) = (field("event:"), field("data:")) else { continue };
                let data = serde_json::from_str(data).unwrap_or(Value::Null);
                return Ok(Some((name.to_owned(), data)));
            }
            self.searched = self.pending.len().saturating_sub(1);
            let chunk = self.answer.chunk().await.map_err(|e| self.client.unreachable(&e))?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.pending.extend_from_slice(&chunk);
        }
    }
}

/// A path segment: everything but letters, digits and `-._~` escaped (RFC 3986).
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
