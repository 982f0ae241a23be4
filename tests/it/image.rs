//! The container image, as far as it can be tried without a container engine: what the
//! Dockerfile says, whether the binary fits, and whether it runs with nothing but what the
//! base image has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{repository, streamctl};

/// Libraries of `gcr.io/distroless/cc-debian12`.
const IN_THE_BASE: [&str; 9] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libgcc_s.so.1",
    "libstdc++.so.6",
];
/// Of the base image, with a margin.
const BASE_BYTES: u64 = 25_000_000;
const LARGEST_IMAGE: u64 = 150_000_000;

fn dockerfile() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository().join("deploy/docker/Dockerfile")).unwrap();
    let code: Vec<_> = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let joined = code.join("\n").replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|l| !l.is_empty());
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            (word.to_uppercase(), rest.trim().to_owned())
        })
        .collect()
}

#[test]
fn the_dockerfile_keeps_the_rules() {
    let file = dockerfile();
    let all =
        |word: &'static str| file.iter().filter(move |(w, _)| w == word).map(|(_, r)| r.as_str());
    for from in all("FROM") {
        let image = from.split(' ').next().unwrap();
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image} is not pinned");
    }
    assert_eq!(all("FROM").count(), 3, "user interface, build, image");
    assert_eq!(all("ADD").count(), 0, "ADD fetches and unpacks: use COPY");
    let last = file.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let image = &file[last..];
    assert!(image[0].1.starts_with("gcr.io/distroless/cc-debian12:"), "{}", image[0].1);
    assert!(!image.iter().any(|(word, _)| word == "RUN"), "there is no shell in the image");
    let user = image.iter().find(|(word, _)| word == "USER").unwrap();
    // A number: Kubernetes cannot tell whether a name is root.
    assert!(user.1.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{}", user.1);
    let entry = image.iter().find(|(word, _)| word == "ENTRYPOINT").unwrap();
    assert_eq!(entry.1, r#"["/usr/bin/streamctl"]"#, "signals must reach the process");
    for (word, rest) in &file {
        let lower = rest.to_lowercase();
        if word == "ENV" || word == "ARG" {
            let secret = ["token", "secret", "password", "key"].iter().any(|s| lower.contains(s));
            assert!(!secret, "{word} {rest}");
        }
        if word == "RUN" {
            assert!(!lower.contains("curl") && !lower.contains("| sh"), "{rest}");
            let leaves = lower.contains("apt-get") && !lower.contains("/var/lib/apt/lists");
            assert!(!leaves, "{rest} leaves package lists behind");
        }
    }
}

#[test]
fn what_the_image_is_built_from_is_sent_to_the_builder() {
    let text = std::fs::read_to_string(repository().join(".dockerignore")).unwrap();
    let ignored: BTreeSet<_> =
        text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for (word, rest) in dockerfile() {
        if word != "COPY" || rest.starts_with("--from") {
            continue;
        }
        let parts: Vec<_> = rest.split_whitespace().collect();
        for source in &parts[..parts.len() - 1] {
            assert!(repository().join(source).exists(), "COPY {rest}: there is no {source}");
            assert!(!ignored.contains(source), "COPY {rest}: {source} is ignored");
        }
    }
    for needed in
        [".cargo", "Cargo.toml", "Cargo.lock", "crates", "proto", "tests", "webui", "LICENSE"]
    {
        assert!(!ignored.contains(needed), "{needed} is needed");
    }
    for unwanted in [".git", "target", "**/node_modules"] {
        assert!(ignored.contains(unwanted), "{unwanted} is sent to the builder");
    }
}

/// Stripped as the Dockerfile does.
fn stripped(folder: &Path) -> PathBuf {
    let out = folder.join("streamctl");
    let mut strip = Command::new("strip");
    strip.arg("--strip-all").arg("-o").arg(&out).arg(streamctl());
    assert!(strip.status().unwrap().success());
    out
}

/// Shared libraries that a binary loads, with where they are here.
fn libraries(binary: &Path) -> Vec<(String, PathBuf)> {
    let output = Command::new("ldd").arg(binary).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        let path = match line.split_once(" => ") {
            Some((_, rest)) => rest,
            None => line,
        };
        let path = path.split(" (").next().unwrap();
        if path.starts_with('/') {
            let name = Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, PathBuf::from(path)));
        } else {
            assert!(line.starts_with("linux-vdso"), "not found: {line}");
        }
    }
    found
}

#[test]
fn the_binary_fits_the_image_and_loads_only_what_the_base_has() {
    let folder = tempfile::tempdir().unwrap();
    let binary = stripped(folder.path());
    let size = std::fs::metadata(&binary).unwrap().len();
    assert!(size + BASE_BYTES < LARGEST_IMAGE, "{size} bytes stripped");
    for (name, _) in libraries(&binary) {
        assert!(IN_THE_BASE.contains(&&*name), "{name} is not in the base image");
    }
}

/// The image's file system made by hand: the binary, the base's libraries and an empty /tmp.
/// A job with checkpoints runs in it as a user without a name.
#[test]
fn the_binary_runs_as_nobody_in_a_root_with_nothing_else() {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() != b"0" {
        eprintln!("skipped: chroot needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for place in ["usr/bin", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(place)).unwrap();
    }
    let binary = stripped(folder.path());
    for (_, library) in libraries(&binary) {
        let at = root.join(library.strip_prefix("/").unwrap());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::copy(&library, at).unwrap();
    }
    std::fs::rename(&binary, root.join("usr/bin/streamctl")).unwrap();
    let job = std::fs::read_to_string(repository().join("deploy/helm/weir/files/test-job.yaml"));
    std::fs::write(root.join("etc/job.yaml"), job.unwrap()).unwrap();
    for (path, mode) in [("", 0o755), ("tmp", 0o1777)] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(root.join(path), mode).unwrap();
    }
    // The way to it must be open for that user too.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let output = Command::new("chroot")
        .args(["--userspec=65532:65532", root.to_str().unwrap(), "/usr/bin/streamctl"])
        .args(["run", "/etc/job.yaml", "--storage", "/tmp/checkpoints", "--summary", "--quiet"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("\"FINISHED\""), "{out}\n{err}");
}
