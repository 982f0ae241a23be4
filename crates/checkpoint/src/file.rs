//! The manifest as a file: `{"crc32c":"<8 hex digits>","manifest":<document>}`. The checksum is
//! over the document's bytes as they stand, so a single flipped bit is found before any
//! field is believed. Called by `storage.rs`. Pure.

use model::{Error, Result};

use crate::manifest::Manifest;

const OPENING: &str = "{\"crc32c\":\"";
const MIDDLE: &str = "\",\"manifest\":";
const CLOSING: &str = "}\n";

pub(crate) fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    let document = serde_json::to_vec(manifest)
        .map_err(|e| Error::internal("cannot encode a manifest").caused_by(e))?;
    let crc = crc32c::crc32c(&document);
    let mut bytes = format!("{OPENING}{crc:08x}{MIDDLE}").into_bytes();
    bytes.extend_from_slice(&document);
    bytes.extend_from_slice(CLOSING.as_bytes());
    Ok(bytes)
}

/// Fails with kind External when the bytes are not what was written.
pub(crate) fn decode(bytes: &[u8], what: &str) -> Result<Manifest> {
    let damaged = |why: &str| {
        Error::external(format!("the manifest {what} is damaged ({why}); use an older checkpoint"))
    };
    let document = (|| {
        let rest = bytes.strip_prefix(OPENING.as_bytes())?;
        let (crc, rest) = rest.split_at_checked(8)?;
        let document = rest.strip_prefix(MIDDLE.as_bytes())?.strip_suffix(CLOSING.as_bytes())?;
        Some((crc, document))
    })();
    let (crc, document) = document.ok_or_else(|| damaged("it is cut off or not a manifest"))?;
    if format!("{:08x}", crc32c::crc32c(document)).as_bytes() != crc {
        return Err(damaged("its checksum does not match"));
    }
    // The version is looked at first: a later form need not parse as ours.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    if let Ok(Version { version }) = serde_json::from_slice(document)
        && version != crate::MANIFEST_VERSION
    {
        return Err(Error::user(format!(
            "the manifest {what} has version {version}, this build reads version {}; use the \
             release that wrote it",
            crate::MANIFEST_VERSION
        )));
    }
    let manifest: Manifest = serde_json::from_slice(document)
        .map_err(|e| Error::external(format!("the manifest {what} is not valid: {e}")))?;
    manifest.check_version()?;
    Ok(manifest)
}
