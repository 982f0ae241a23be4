//! A plain HTTP client for tests that must choose every header themselves, and must not
//! wait for the end of a stream of events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends a request with exactly `headers` (and `Connection: close`); returns the status, and
/// the body unless it is a stream of events.
pub fn ask(addr: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    send(addr, method, path, headers, "")
}

/// As [`ask`], with a body.
pub fn send(
    addr: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // A server may answer and close before it has read all of a body it refuses.
    let _ = stream.write_all(body.as_bytes());
    let mut reader = BufReader::new(stream);
    let mut status_line = String::new();
    reader.read_line(&mut status_line).unwrap();
    let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let mut endless = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        endless |= line.to_ascii_lowercase().contains("text/event-stream");
        if line.trim().is_empty() {
            break;
        }
    }
    let mut text = Vec::new();
    if !endless {
        let _ = reader.read_to_end(&mut text);
    }
    (status, String::from_utf8_lossy(&text).into_owned())
}
