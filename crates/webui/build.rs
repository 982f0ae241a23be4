//! Makes the table of the embedded files: every file of `webui/dist`, which is committed, so that
//! cargo alone builds the binary. Read by `src/lib.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let dist = here.join("../../webui/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    collect(&dist, &mut files);
    // As `lib.rs` searches them: by the bytes of their names.
    files.sort_by_key(|file| name_of(&dist, file));
    assert!(
        files.iter().any(|f| f.ends_with("index.html")),
        "webui/dist is not there: it is part of the repository; `npm run build` in webui/ makes it"
    );
    let mut table = String::from("&[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let bytes = fs::read(&file).expect("a file just listed");
        let name = name_of(&dist, &file);
        let path = fs::canonicalize(&file).expect("a file just listed");
        let etag = fingerprint(&bytes);
        writeln!(
            table,
            "    Asset {{ path: {name:?}, bytes: include_bytes!({path:?}), etag: \"\\\"{etag:016x}\\\"\" }},",
        )
        .expect("a string takes what is written");
    }
    table.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("assets.rs"), table).expect("the build's own folder can be written");
}

fn name_of(dist: &Path, file: &Path) -> String {
    file.strip_prefix(dist).expect("below dist").to_string_lossy().replace('\\', "/")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// FNV-1a, 64 bits: tells two versions of a file apart.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
