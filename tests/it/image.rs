//! The container image, as far as it can be tried without a container engine: what the
//! Dockerfile says, whether the binary and the base's Debian packages fit, and whether it runs
//! with nothing but what the base image has.

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
/// Debian packages that the base holds, and their size in KiB as Debian 12 states it: used for
/// those that are not installed here.
const BASE_PACKAGES: [(&str, u64); 10] = [
    ("base-files", 341),
    ("ca-certificates", 387),
    ("gcc-12-base", 100),
    ("libc6", 13_001),
    ("libgcc-s1", 140),
    ("libgomp1", 312),
    ("libssl3", 6_029),
    ("libstdc++6", 2_686),
    ("netbase", 36),
    ("tzdata", 2_565),
];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const USER: &str = "65532:65532";
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

/// Bytes of a Debian package's own files, if it is installed here.
fn installed(package: &str) -> Option<u64> {
    let output = Command::new("dpkg-query").args(["--listfiles", package]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let listed = String::from_utf8(output.stdout).unwrap();
    let files = listed.lines().filter_map(|path| std::fs::symlink_metadata(path).ok());
    Some(files.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum())
}

#[test]
fn the_binary_fits_the_image_and_loads_only_what_the_base_has() {
    let folder = tempfile::tempdir().unwrap();
    let binary = stripped(folder.path());
    let size = std::fs::metadata(&binary).unwrap().len();
    let packages = BASE_PACKAGES.map(|(name, kib)| installed(name).unwrap_or(kib * 1024));
    let bundle = std::fs::metadata(CERTIFICATES).map_or(250_000, |file| file.len());
    let base = packages.iter().sum::<u64>() + bundle;
    assert!(base > 15_000_000, "{base} bytes are not a base image");
    let image = size + base;
    eprintln!("binary {size} bytes, base {base}, image {image}");
    assert!(image < LARGEST_IMAGE, "{size} bytes stripped and {base} of the base");
    for (name, _) in libraries(&binary) {
        assert!(IN_THE_BASE.contains(&&*name), "{name} is not in the base image");
    }
}

/// The image's file system made by hand: the binary, the libraries, certificates and users of
/// the base, and an empty /tmp. No shell, no /proc, no /dev.
fn unpacked(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let root = folder.join("root");
    for place in ["usr/bin", "tmp", "etc/ssl/certs"] {
        std::fs::create_dir_all(root.join(place)).unwrap();
    }
    let binary = stripped(folder);
    for (_, library) in libraries(&binary) {
        let at = root.join(library.strip_prefix("/").unwrap());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::copy(&library, at).unwrap();
    }
    std::fs::rename(&binary, root.join("usr/bin/streamctl")).unwrap();
    if Path::new(CERTIFICATES).exists() {
        std::fs::copy(CERTIFICATES, root.join(&CERTIFICATES[1..])).unwrap();
    }
    let users = "root:x:0:0:root:/root:/sbin/nologin\n\
                 nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
    std::fs::write(root.join("etc/passwd"), users).unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n").unwrap();
    let job = std::fs::read_to_string(repository().join("deploy/helm/weir/files/test-job.yaml"));
    std::fs::write(root.join("etc/job.yaml"), job.unwrap()).unwrap();
    // Whoever runs the test: the files are not the user's, and the way to them is open.
    for (path, mode) in [(root.clone(), 0o755), (root.join("tmp"), 0o1777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    root
}

/// Whether this process may make mounts of its own, which end with it.
fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs streamctl in `root` as the image's user, who gets no new privileges; with `mounts` on
/// a read-only root and a /tmp of its own, as `--read-only --tmpfs /tmp`.
fn in_image(root: &Path, mounts: bool, args: &[&str]) -> (bool, String) {
    let script = if mounts {
        "mount --bind \"$0\" \"$0\"; mount -o remount,bind,ro \"$0\"
         mount -t tmpfs -o mode=1777 tmpfs \"$0/tmp\"
         exec setpriv --no-new-privs chroot --userspec=\"$@\""
    } else {
        "exec setpriv --no-new-privs chroot --userspec=\"$@\""
    };
    let root = root.to_str().unwrap();
    let (program, before) =
        if mounts { ("unshare", &["--mount", "sh", "-ec"][..]) } else { ("sh", &["-ec"][..]) };
    let output = Command::new(program)
        .args(before)
        .args([script, root, USER, root, "/usr/bin/streamctl"])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A job with checkpoints runs, and nothing can be written but /tmp.
#[test]
fn the_binary_runs_as_nobody_in_a_root_with_nothing_else() {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() != b"0" {
        eprintln!("skipped: chroot needs root");
        return;
    }
    let mounts = may_mount();
    if !mounts {
        eprintln!("not tried: a read-only mount, which is not permitted here");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = unpacked(folder.path());
    let run = |storage: &str| {
        let args = ["run", "/etc/job.yaml", "--storage", storage, "--summary", "--quiet"];
        in_image(&root, mounts, &args)
    };
    let (ok, said) = run("/tmp/checkpoints");
    assert!(ok && said.contains("\"FINISHED\""), "{said}");
    let (ok, said) = run("/var/checkpoints");
    assert!(!ok && !said.contains("panicked"), "{said}");
    assert!(said.contains("/var/checkpoints"), "the error does not name the folder: {said}");
    assert!(!root.join("var").exists());
    let (ok, said) = in_image(&root, mounts, &["--version"]);
    assert!(ok && said.starts_with("streamctl "), "{said}");
}
