//! The gate before every route: token, `Host` and `Origin` (decided by `safety`), headers
//! that tell browsers to be careful, and the audit log. Put around the router by `server.rs`;
//! a route added to the router is behind it without doing anything.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use safety::{Caller, HttpGuard, Refusal};

use super::error::ApiError;

/// Put on every answer. The UI loads nothing from elsewhere and is shown in no frame.
const CAREFUL: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self'; worker-src 'self' blob:; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; \
         connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
];

/// `router` behind the gate, fallbacks too.
pub(crate) fn guarded(router: Router, guard: HttpGuard) -> Router {
    router.layer(middleware::from_fn_with_state(guard, gate))
}

async fn gate(
    State(guard): State<HttpGuard>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let audited = audited(&method);
    let (caller, mut response) = match guard.check(&method, &path, request.headers()) {
        Ok(caller) => (shown(caller), next.run(request).await),
        Err(refusal) => {
            tracing::debug!(%peer, %method, path, ?refusal, "refused a request");
            ("refused".to_owned(), refused(&refusal))
        }
    };
    if audited {
        let status = response.status().as_u16();
        tracing::info!(target: "audit", %peer, caller, %method, path, status, "call");
    }
    careful(response.headers_mut());
    response
}

/// Calls that change something.
fn audited(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn shown(caller: Caller) -> String {
    match caller {
        Caller::Anybody => "anybody".to_owned(),
        Caller::Token(fingerprint) => format!("token {fingerprint}"),
    }
}

fn careful(headers: &mut HeaderMap) {
    for (name, value) in CAREFUL {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Answers may hold what only a token's holder may see.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn refused(refusal: &Refusal) -> Response {
    let forbidden = |code, message: String, help: &str| {
        ApiError::new(StatusCode::FORBIDDEN, code, message).help(help).into_response()
    };
    let unauthorized = |message: &str| {
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
            .help("send `Authorization: Bearer TOKEN`; streamctl reads it from --token-file FILE");
        let mut response = error.into_response();
        let challenge = HeaderValue::from_static("Bearer realm=\"weir\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    };
    match refusal {
        Refusal::Host(host) => forbidden(
            "HOST_NOT_ALLOWED",
            format!("`{host}` is not a name of this job manager"),
            "start the job manager with --allowed-hosts NAME[,NAME...]",
        ),
        Refusal::Origin(origin) => forbidden(
            "ORIGIN_NOT_ALLOWED",
            format!("pages of `{origin}` may not call this job manager"),
            "open the UI under the same host and port as the API",
        ),
        Refusal::TokenMissing => unauthorized("this needs a token"),
        Refusal::TokenWrong => unauthorized("the token is not one of this job manager's"),
    }
}

#[cfg(test)]
mod tests;
