//! Opening by URI, and the promises that `checkpoint` builds on.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use object_store::{ObjectStoreExt, PutMode};

use super::*;

const PART_BYTES: usize = 8 << 20;

fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
}

#[tokio::test]
async fn files_are_created_once() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file://{}/a/b", dir.path().display());
    let opened = open(&uri).unwrap();
    let path = opened.path("x/y").unwrap();
    let create = || object_store::PutOptions::from(PutMode::Create);
    opened.store.put_opts(&path, "1".into(), create()).await.unwrap();
    let again = opened.store.put_opts(&path, "2".into(), create()).await.unwrap_err();
    assert!(matches!(again, object_store::Error::AlreadyExists { .. }));
    assert_eq!(get_all(&*opened.store, &path).await.unwrap().unwrap(), Bytes::from("1"));
    assert_eq!(get_all(&*opened.store, &opened.path("none").unwrap()).await.unwrap(), None);
    let plain = open(dir.path().join("a/b").to_str().unwrap()).unwrap();
    assert_eq!(plain.uri, opened.uri);
    assert!(open(&opened.uri).unwrap().store.head(&path).await.is_ok());
}

#[tokio::test]
async fn large_objects_go_in_parts() {
    for uri in ["memory://storage-parts/p".to_owned(), {
        let dir = tempfile::tempdir().unwrap().keep();
        dir.display().to_string()
    }] {
        let opened = open(&uri).unwrap();
        let path = opened.path("large").unwrap();
        let bytes: Bytes = (0..(20_usize << 20)).map(|i| (i >> 12) as u8).collect();
        let parts = |cut: usize| {
            let starts = (0..bytes.len()).step_by(cut);
            starts.map(|at| Ok(bytes.slice(at..bytes.len().min(at + cut)))).collect::<Vec<_>>()
        };
        let expected = Written { length: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
        for cut in [PART_BYTES, bytes.len()] {
            let parts = stream::iter(parts(cut)).boxed();
            let written = put_parts(&*opened.store, &path, parts).await.unwrap();
            assert_eq!(written, expected);
            assert!(get_all(&*opened.store, &path).await.unwrap().unwrap() == bytes);
        }
        // What breaks off while it is made does not replace what was there.
        for cut in [PART_BYTES, bytes.len()] {
            let mut broken = parts(cut);
            broken.push(Err(model::Error::internal("no more")));
            let broken = stream::iter(broken).boxed();
            let error = put_parts(&*opened.store, &path, broken).await.unwrap_err();
            assert_eq!(error.message(), "no more");
            assert!(get_all(&*opened.store, &path).await.unwrap().unwrap() == bytes);
        }
        if let Some(root) = opened.local_root {
            std::fs::remove_dir_all(root).unwrap();
        }
    }
}

#[test]
fn memory_is_shared_by_name() {
    // Below the counting of requests, which wraps a store anew each time it is opened.
    let under = |rest| memory::open(rest).unwrap();
    let (a, b) = (under("one/x"), under("one/y"));
    assert!(Arc::ptr_eq(&a.store, &b.store));
    assert!(!Arc::ptr_eq(&a.store, &under("two").store));
    assert_eq!(a.path("z").unwrap().as_ref(), "x/z");
}

#[test]
fn paths_cannot_leave_the_prefix() {
    let opened = open("memory://one/x").unwrap();
    for bad in ["../y", "a/../../y", "a//b", "./a"] {
        assert!(opened.path(bad).is_err(), "{bad}");
    }
}

#[test]
fn wrong_uris_say_what_to_write() {
    for (uri, hint) in [
        ("", "s3://bucket/prefix"),
        ("file://relative", "absolute"),
        ("gs://x", "not supported"),
        ("s3:///x", "names no bucket"),
        ("s3://key:secret@bucket/x", "AWS_ACCESS_KEY_ID"),
    ] {
        let error = open(uri).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        assert!(error.chain().contains(hint), "{}", error.chain());
        assert!(!error.chain().contains("secret@"));
    }
}

#[test]
fn s3_takes_the_environment() {
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
    let with = |extra: &[(&'static str, &'static str)]| [&keys[..], extra].concat();
    let pairs = with(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    let opened = s3::open("bucket/some/prefix/", &env(&pairs)).unwrap();
    assert_eq!(
        (opened.prefix.as_ref(), opened.uri.as_str()),
        ("some/prefix", "s3://bucket/some/prefix")
    );
    assert!(!format!("{opened:?}").contains("hidden"));

    let endpoint = [("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")];
    let error = s3::open("bucket", &env(&endpoint)).unwrap_err();
    assert!(error.message().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    let half = [keys[0]];
    let error = s3::open("bucket", &env(&half)).unwrap_err();
    assert!(error.message().contains("set AWS_SECRET_ACCESS_KEY"), "{error}");
    let pairs = with(&[("AWS_ENDPOINT_URL", "127.0.0.1:9")]);
    let error = s3::open("bucket", &env(&pairs)).unwrap_err();
    assert!(error.message().contains("http://host:port"), "{error}");
}
