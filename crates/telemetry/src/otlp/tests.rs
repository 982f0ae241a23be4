//! What goes over the wire, against a receiver of this project (not a real collector).

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn span(name: &'static str, id: u64) -> Span {
    Span {
        trace: TraceId(0xabc),
        id: SpanId(id),
        parent: (id > 1).then_some(SpanId(1)),
        name,
        start_us: 1_000,
        end_us: 3_500,
        attributes: vec![("job", "flights".into()), ("attempt", 2.into())],
        error: (id == 3).then(|| "broke".to_owned()),
    }
}

#[test]
fn spans_are_encoded_as_otlp_json() {
    let body = request("weir", &[span("checkpoint", 1), span("checkpoint.sync", 3)]);
    let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans[0]["traceId"], "00000000000000000000000000000abc");
    assert_eq!(spans[0]["spanId"], "0000000000000001");
    assert!(spans[0].get("parentSpanId").is_none());
    assert_eq!(spans[0]["startTimeUnixNano"], "1000000");
    assert_eq!(spans[0]["endTimeUnixNano"], "3500000");
    assert_eq!(spans[0]["status"]["code"], 1);
    assert_eq!(spans[0]["attributes"][1], json!({"key": "attempt", "value": {"intValue": "2"}}));
    assert_eq!(spans[1]["parentSpanId"], "0000000000000001");
    assert_eq!(spans[1]["status"], json!({"code": 2, "message": "broke"}));
    let resource = &body["resourceSpans"][0]["resource"]["attributes"][0];
    assert_eq!(resource["value"]["stringValue"], "weir");
}

#[test]
fn the_environment_says_where_traces_go() {
    let target = |pairs: &[(&str, &str)]| {
        let map: BTreeMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Target::from_env(&|name| map.get(name).cloned())
    };
    assert_eq!(target(&[]), None);
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/");
    assert_eq!(target(&[base]).unwrap().url, "http://h:4318/v1/traces");
    assert_eq!(target(&[base, ("OTEL_SDK_DISABLED", "true")]), None);
    let own = target(&[
        base,
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, b = 2"),
        ("OTEL_SERVICE_NAME", "mine"),
    ])
    .unwrap();
    assert_eq!((own.url.as_str(), own.service.as_str()), ("http://t/x", "mine"));
    assert_eq!(own.headers, [("a".into(), "1".into()), ("b".into(), "2".into())]);
}

/// Answers the first request with 503, the second with 200; returns both.
async fn receive_two(listener: TcpListener) -> Vec<String> {
    let mut requests = Vec::new();
    for status in ["503 Service Unavailable", "200 OK"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the request broke off");
            text.extend_from_slice(&buffer[..n]);
            let so_far = String::from_utf8_lossy(&text);
            let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
            let length = head.to_lowercase();
            let length = length.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                break;
            }
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        requests.push(String::from_utf8(text).unwrap());
    }
    requests
}

#[tokio::test]
async fn a_batch_is_sent_again_when_the_receiver_is_busy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target {
        url: format!("http://{}/v1/traces", listener.local_addr().unwrap()),
        service: "weir".into(),
        headers: vec![("x-tenant".into(), "t1".into())],
    };
    let tracer = Tracer::start(target);
    tracer.export(span("job.submit", 1));
    tracer.export(span("job.deploy", 2));
    let requests = receive_two(listener).await;
    assert!(requests[0].starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].contains("x-tenant: t1\r\n"));
    let bodies: Vec<&str> = requests.iter().map(|r| r.split_once("\r\n\r\n").unwrap().1).collect();
    assert_eq!(bodies[0], bodies[1]);
    let body: Value = serde_json::from_str(bodies[0]).unwrap();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let names: Vec<&str> = spans.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["job.submit", "job.deploy"]);
    let sent = async {
        while tracer.pending.load(Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), sent).await.expect("nothing is left to send");
}
