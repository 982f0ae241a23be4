//! The web UI in the binary: the files of `webui/dist`, their types and their tags, and the routes
//! that serve them. Mounted by the job manager's HTTP server next to the API.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

/// One file of the built UI.
#[derive(Debug)]
pub struct Asset {
    /// Below `/ui/`, such as `assets/index-5f3a.js`.
    pub path: &'static str,
    pub bytes: &'static [u8],
    /// Quoted, as the header has it.
    pub etag: &'static str,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Every file, by path.
pub fn assets() -> &'static [Asset] {
    ASSETS
}

/// The file at `path`, without a leading slash.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.binary_search_by(|a| a.path.cmp(path)).ok().map(|i| &ASSETS[i])
}

/// `/` leads to `/ui/`; below it every address that names no file is a view of the UI.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/ui/") }))
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui/", get(|headers: HeaderMap| async move { answer("", &headers) }))
        .route(
            "/ui/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move {
                answer(&path, &headers)
            }),
        )
}

fn answer(path: &str, headers: &HeaderMap) -> Response<Body> {
    if let Some(found) = asset(path) {
        return sent(found, headers);
    }
    // A file that an older page asks for is gone; a view is drawn by the page itself.
    match asset("index.html") {
        Some(page) if !path.starts_with("assets/") => sent(page, headers),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn sent(asset: &'static Asset, headers: &HeaderMap) -> Response<Body> {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == asset.etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(asset.bytes).into_response()
    };
    // Names in `assets/` carry the hash of what is in them.
    let forever = asset.path.starts_with("assets/");
    let cache = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime(asset.path)));
    set.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tag(tag: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(tag))])
    }

    #[test]
    fn the_page_and_what_it_names_are_there() {
        let page = asset("index.html").expect("the page is embedded");
        let text = std::str::from_utf8(page.bytes).expect("the page is text");
        let mut named = 0;
        for part in text.split('"').filter_map(|part| part.strip_prefix("/ui/")) {
            assert!(asset(part).is_some(), "index.html names {part}");
            named += 1;
        }
        assert!(named >= 3, "{text}");
        assert!(!text.contains("http://") && !text.contains("https://"), "nothing from elsewhere");
        assert!(assets().iter().all(|a| !a.path.ends_with(".map")), "no source maps");
    }

    #[test]
    fn the_bundle_is_small() {
        let bytes: usize = assets().iter().map(|a| a.bytes.len()).sum();
        assert!(bytes < 1_500_000, "{bytes} bytes");
    }

    #[test]
    fn views_are_the_page_and_lost_files_are_not() {
        let plain = HeaderMap::new();
        for view in ["", "jobs/7f3a/checkpoints", "submit"] {
            let response = answer(view, &plain);
            assert_eq!(response.status(), StatusCode::OK, "{view}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        }
        assert_eq!(answer("assets/gone.js", &plain).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let page = asset("index.html").expect("the page is embedded");
        assert_eq!(answer("", &with_tag(page.etag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("", &with_tag("\"other\"")).status(), StatusCode::OK);
        let script =
            assets().iter().find(|a| a.path.ends_with(".js") && a.path.contains("assets/"));
        let script = script.expect("there is a script");
        let response = answer(script.path, &HeaderMap::new());
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    }
}
