//! Requests that pass and requests that do not.

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn guard(bound: &str, tokens: bool) -> HttpGuard {
    let safety = Safety {
        api_tokens: tokens.then(|| ApiTokens::parse(TOKEN, "f").unwrap()),
        allowed_hosts: vec!["weir.example.com".to_owned(), "Weir-JobManager".to_owned()],
        ..Safety::default()
    };
    HttpGuard::new(&safety, bound.parse().unwrap())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

fn get(guard: &HttpGuard, path: &str, pairs: &[(&'static str, &str)]) -> Result<Caller, Refusal> {
    guard.check(&Method::GET, path, &headers(pairs))
}

#[test]
fn hosts_are_ours_or_named() {
    let loopback = guard("127.0.0.1:8081", false);
    let everywhere = guard("0.0.0.0:8081", false);
    let one = guard("10.0.0.7:8081", false);
    for host in [
        "127.0.0.1:8081",
        "127.0.0.1",
        "localhost:9000",
        "LOCALHOST",
        "[::1]:8081",
        "[::1]",
        "weir.example.com",
        "weir.example.com:443",
        "WEIR.example.com",
        "weir-jobmanager:8081",
    ] {
        for guard in [&loopback, &everywhere, &one] {
            assert_eq!(
                get(guard, "/api/v1/jobs", &[("host", host)]),
                Ok(Caller::Anybody),
                "{host}"
            );
        }
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "weir.example.com.evil.example",
        "",
        "127.0.0.1.evil.example",
        "evil.example:8081",
        "localhost:8081:x",
        "10.0.0.8",
    ] {
        let refused = get(&loopback, "/api/v1/jobs", &[("host", host)]);
        assert_eq!(refused, Err(Refusal::Host(host.to_owned())), "{host}");
    }
    assert!(get(&one, "/jobs", &[("host", "10.0.0.7:8081")]).is_ok());
    assert!(get(&one, "/jobs", &[("host", "10.0.0.8:8081")]).is_err());
    assert!(get(&everywhere, "/jobs", &[("host", "10.0.0.8:8081")]).is_ok());
    assert!(get(&everywhere, "/jobs", &[]).is_err());
    let twice = [("host", "localhost"), ("host", "evil.example")];
    assert!(get(&everywhere, "/jobs", &twice).is_err());
    assert!(get(&loopback, "/healthz", &[("host", "10.0.0.8:8081")]).is_ok(), "a probe");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let guard = guard("127.0.0.1:8081", false);
    let ask = |host, origin| get(&guard, "/api/v1/jobs", &[("host", host), ("origin", origin)]);
    for (host, origin) in [
        ("localhost:8081", "http://localhost:8081"),
        ("weir.example.com", "https://weir.example.com"),
        ("weir.example.com", "https://weir.example.com:443"),
        ("weir.example.com:80", "http://WEIR.example.com"),
    ] {
        assert_eq!(ask(host, origin), Ok(Caller::Anybody), "{host} {origin}");
    }
    for (host, origin) in [
        ("localhost:8081", "http://localhost:3000"),
        ("localhost:8081", "http://127.0.0.1:8081"),
        ("localhost:8081", "http://evil.example"),
        ("localhost:8081", "null"),
        ("localhost:8081", "file://"),
        ("localhost:8081", "http://localhost:8081.evil.example"),
        ("weir.example.com", "http://evil.example/weir.example.com"),
    ] {
        assert_eq!(ask(host, origin), Err(Refusal::Origin(origin.to_owned())), "{host} {origin}");
    }
}

#[test]
fn every_path_but_the_open_ones_needs_the_token() {
    let guard = guard("0.0.0.0:8081", true);
    let host = ("host", "localhost:8081");
    for path in ["/healthz", "/readyz", "/", "/ui", "/ui/", "/ui/jobs/1", "/favicon.ico"] {
        assert_eq!(get(&guard, path, &[host]), Ok(Caller::Anybody), "{path}");
        let post = guard.check(&Method::POST, path, &headers(&[host]));
        assert_eq!(post, Err(Refusal::TokenMissing), "POST {path}");
    }
    for path in [
        "/api/v1/jobs",
        "/metrics",
        "/overview",
        "/v1/jobs",
        "/uix",
        "/ui2/",
        "//ui/",
        "/UI/",
        "/healthz/",
        "/healthz/x",
        "/api/v1/../../ui/",
        "/nothing",
    ] {
        assert_eq!(get(&guard, path, &[host]), Err(Refusal::TokenMissing), "{path}");
        let right = [host, ("authorization", "Bearer 0123456789abcdef")];
        assert!(matches!(get(&guard, path, &right), Ok(Caller::Token(_))), "{path}");
        let lower = [host, ("authorization", "bearer 0123456789abcdef")];
        assert!(matches!(get(&guard, path, &lower), Ok(Caller::Token(_))), "{path}");
    }
    for wrong in ["Bearer 0123456789abcdeF", "Bearer ", "Bearer x"] {
        let refused = get(&guard, "/jobs", &[host, ("authorization", wrong)]);
        assert_eq!(refused, Err(Refusal::TokenWrong), "{wrong}");
    }
    for missing in ["0123456789abcdef", "Basic MDEyMzQ1Njc4OWFiY2RlZg==", "Bearer"] {
        let refused = get(&guard, "/jobs", &[host, ("authorization", missing)]);
        assert_eq!(refused, Err(Refusal::TokenMissing), "{missing}");
    }
}

#[test]
fn metrics_are_public_only_when_told() {
    let safety = Safety {
        api_tokens: Some(ApiTokens::parse(TOKEN, "f").unwrap()),
        metrics_public: true,
        ..Safety::default()
    };
    let guard = HttpGuard::new(&safety, "0.0.0.0:1".parse().unwrap());
    assert_eq!(get(&guard, "/metrics", &[("host", "10.1.2.3:1")]), Ok(Caller::Anybody));
    assert_eq!(get(&guard, "/jobs", &[("host", "10.1.2.3:1")]), Err(Refusal::TokenMissing));
}
