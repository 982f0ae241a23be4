//! `PARSE_URL`, `URL_ENCODE`, `URL_DECODE`. Called through `builtin`.

use super::{Arg, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "parse_url",
        takes: &[Arg::Text],
        count: (2, 3),
        returns: Returns::Text,
        eval: |call| {
            let (urls, parts) = (call.text(0)?, call.text(1)?);
            call.texts(|row| {
                let Some(url) = Url::parse(urls.value(row)) else { return Ok(None) };
                let part = parts.value(row);
                if !call.has(2) {
                    return Ok(url.part(part));
                }
                let key = call.text(2)?.value(row);
                Ok(match part {
                    "QUERY" => url.parameter(key).map(str::to_owned),
                    _ => None,
                })
            })
        },
    },
    Definition {
        name: "url_encode",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| Ok(Some(encoded(texts.value(row)))))
        },
    },
    Definition {
        name: "url_decode",
        takes: &[Arg::Text],
        count: (1, 1),
        returns: Returns::Text,
        eval: |call| {
            let texts = call.text(0)?;
            call.texts(|row| Ok(decoded(texts.value(row))))
        },
    },
];

/// The parts of a URL, as java.net.URL cuts them.
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (protocol, rest) = text.split_once(':')?;
        let named = protocol.starts_with(|c: char| c.is_ascii_alphabetic())
            && protocol.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if !named {
            return None;
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        Some(Self { protocol, authority, path, query, reference })
    }

    fn part(&self, name: &str) -> Option<String> {
        let user = self.authority.rsplit_once('@').map(|(user, _)| user);
        Some(match name {
            "HOST" => {
                let host = self.authority.rsplit_once('@').map_or(self.authority, |(_, h)| h);
                let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
                host[..port.unwrap_or(host.len())].to_owned()
            }
            "PATH" => self.path.to_owned(),
            "QUERY" => self.query?.to_owned(),
            "REF" => self.reference?.to_owned(),
            "PROTOCOL" => self.protocol.to_owned(),
            "AUTHORITY" => Some(self.authority).filter(|a| !a.is_empty())?.to_owned(),
            "FILE" => match self.query {
                Some(query) => format!("{}?{query}", self.path),
                None => self.path.to_owned(),
            },
            "USERINFO" => user?.to_owned(),
            _ => return None,
        })
    }

    fn parameter(&self, key: &str) -> Option<&'a str> {
        let pairs = self.query?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// `application/x-www-form-urlencoded`, UTF-8.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b".-*_".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}
