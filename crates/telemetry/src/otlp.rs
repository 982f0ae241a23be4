//! Traces over OTLP: spans are put into a bounded queue and sent by one task as OTLP/JSON to
//! `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`). Without it nothing is made or
//! kept. Losing a span never holds anybody up. Used by `jobmanager`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Spans that may wait; beyond that they are dropped, and counted.
const QUEUE: usize = 4096;
/// Spans of one request.
const BATCH: usize = 512;
/// Spans wait at most this long for company.
const LINGER: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries of one batch.
const TRIES: u32 = 3;

/// 16 bytes, shown as 32 hex digits. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(pub u128);

/// 8 bytes, shown as 16 hex digits. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(pub u64);

/// One finished span. Times in microseconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub name: &'static str,
    pub start_us: i64,
    pub end_us: i64,
    /// Values are strings, integers, floats or booleans.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Takes spans and sends them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    queue: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
    /// Taken and not yet sent or given up.
    pending: Arc<AtomicU64>,
}

static TRACER: OnceLock<Option<Tracer>> = OnceLock::new();

/// This process's tracer, started with the first call (on a tokio runtime); `None` when no
/// endpoint is set.
pub fn tracer() -> Option<Tracer> {
    let start = || {
        let target = Target::from_env(&|name| std::env::var(name).ok())?;
        tracing::info!(endpoint = target.url, "traces are exported");
        Some(Tracer::start(target))
    };
    TRACER.get_or_init(start).clone()
}

/// Waits until everything exported so far is sent, at most `within`. Call before the process
/// ends; returns at once when no traces are exported.
pub async fn flush_traces(within: Duration) {
    let Some(Some(tracer)) = TRACER.get() else { return };
    let sent = async {
        while tracer.pending.load(Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(within, sent).await.is_err() {
        tracing::warn!("the last spans were not sent in time");
    }
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    url: String,
    /// `service.name`.
    service: String,
    headers: Vec<(String, String)>,
}

impl Target {
    /// By the environment variables that OpenTelemetry names.
    fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let get = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        if get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return None;
        }
        let url = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| {
            let base = get("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/v1/traces", base.trim_end_matches('/')))
        })?;
        let headers = get("OTEL_EXPORTER_OTLP_TRACES_HEADERS")
            .or_else(|| get("OTEL_EXPORTER_OTLP_HEADERS"))
            .unwrap_or_default();
        let headers = headers
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let service = get("OTEL_SERVICE_NAME").unwrap_or_else(|| "weir".to_owned());
        Some(Self { url, service, headers })
    }
}

impl Tracer {
    fn start(target: Target) -> Self {
        let (queue, spans) = mpsc::channel(QUEUE);
        let pending = Arc::<AtomicU64>::default();
        tokio::spawn(export(target, spans, Arc::clone(&pending)));
        Self { queue, dropped: Arc::default(), pending }
    }

    /// Hands a span over; never waits.
    pub fn export(&self, span: Span) {
        self.pending.fetch_add(1, Relaxed);
        if self.queue.try_send(span).is_err() {
            self.pending.fetch_sub(1, Relaxed);
            let dropped = self.dropped.fetch_add(1, Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "spans were dropped: the trace endpoint is too slow");
            }
        }
    }
}

async fn export(target: Target, mut spans: mpsc::Receiver<Span>, pending: Arc<AtomicU64>) {
    let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no HTTP client: traces are not exported"),
    };
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = spans.recv().await {
        batch.push(first);
        let more = async {
            while batch.len() < BATCH
                && let Some(span) = spans.recv().await
            {
                batch.push(span);
            }
        };
        // What came before the time was up is in the batch.
        let _ = tokio::time::timeout(LINGER, more).await;
        send(&client, &target, &request(&target.service, &batch)).await;
        pending.fetch_sub(batch.len() as u64, Relaxed);
        batch.clear();
    }
}

async fn send(client: &reqwest::Client, target: &Target, body: &Value) {
    let mut pause = Duration::from_millis(500);
    for attempt in 1..=TRIES {
        let mut request = client.post(&target.url).json(body);
        for (name, value) in &target.headers {
            request = request.header(name, value);
        }
        let (again, reason) = match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => {
                let status = answer.status().as_u16();
                (matches!(status, 429 | 502 | 503 | 504), format!("answered {status}"))
            }
            Err(error) => (true, error.without_url().to_string()),
        };
        if !again || attempt == TRIES {
            tracing::warn!(reason, "spans were not taken by the trace endpoint");
            return;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// An ExportTraceServiceRequest in OTLP's JSON: ids in hex, 64-bit integers as strings.
fn request(service: &str, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(encode).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", &service.into()),
            attribute("service.version", &env!("CARGO_PKG_VERSION").into()),
        ]},
        "scopeSpans": [{ "scope": { "name": "weir" }, "spans": spans }],
    }]})
}

fn encode(span: &Span) -> Value {
    let nanos = |us: i64| us.max(0).saturating_mul(1000).to_string();
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut object = json!({
        "traceId": format!("{:032x}", span.trace.0),
        "spanId": format!("{:016x}", span.id.0),
        "name": span.name,
        // SPAN_KIND_INTERNAL
        "kind": 1,
        "startTimeUnixNano": nanos(span.start_us),
        "endTimeUnixNano": nanos(span.end_us.max(span.start_us)),
        "attributes": attributes,
        // STATUS_CODE_ERROR, STATUS_CODE_OK
        "status": match &span.error {
            Some(text) => json!({ "code": 2, "message": text }),
            None => json!({ "code": 1 }),
        },
    });
    if let Some(parent) = span.parent {
        object["parentSpanId"] = format!("{:016x}", parent.0).into();
    }
    object
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(b) => json!({ "boolValue": b }),
        Value::Number(n) if n.is_f64() => json!({ "doubleValue": n }),
        Value::Number(n) => json!({ "intValue": n.to_string() }),
        Value::String(s) => json!({ "stringValue": s }),
        other => json!({ "stringValue": other.to_string() }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests;
