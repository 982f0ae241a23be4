//! Access, from flags and secret files: who may talk to a role (`safety::Safety`), and the
//! token with which commands talk to a job manager. Called by the commands.

use std::path::Path;

use safety::{ApiTokens, ClusterSecret, Safety, Secret};

use crate::arguments::SafetyArguments;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

/// Greatest secret file read, bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// What a role was given to keep strangers out.
pub fn safety(arguments: &SafetyArguments, settings: &Settings) -> Result<Safety, Failure> {
    let file = |key: &str, flag: Option<&Path>| -> Result<_, Failure> {
        let Some(path) = settings.path(key, flag) else { return Ok(None) };
        let what = format!("--{key} {}", path.display());
        Ok(Some((read(&path, &what)?, what)))
    };
    let api_tokens = file("api-token-file", arguments.api_token_file.as_deref())?
        .map(|(text, what)| ApiTokens::parse(text.reveal(), &what))
        .transpose()?;
    let cluster_secret = file("cluster-secret-file", arguments.cluster_secret_file.as_deref())?
        .map(|(text, what)| ClusterSecret::parse(text.reveal(), &what))
        .transpose()?;
    let hosts = settings.text("allowed-hosts", arguments.allowed_hosts.as_deref());
    let allowed_hosts = hosts.as_deref().map(allowed_hosts).transpose()?.unwrap_or_default();
    Ok(Safety {
        api_tokens,
        cluster_secret,
        insecure: settings.switch("insecure", arguments.insecure)?,
        allowed_hosts,
        metrics_public: settings.switch("metrics-public", arguments.metrics_public)?,
    })
}

/// The token to send to a job manager: the first in the file that `key` (a flag's name)
/// chooses, if one does.
pub fn token(
    key: &str,
    flag: Option<&Path>,
    settings: &Settings,
) -> Result<Option<Secret>, Failure> {
    let Some(path) = settings.path(key, flag) else { return Ok(None) };
    let what = format!("--{key} {}", path.display());
    let text = read(&path, &what)?;
    let mut lines = text.reveal().lines().map(str::trim);
    match lines.find(|line| !line.is_empty() && !line.starts_with('#')) {
        Some(token) => Ok(Some(Secret::new(token))),
        None => Err(Failure::new(Exit::Config, format!("{what} holds no token"))),
    }
}

fn allowed_hosts(text: &str) -> Result<Vec<String>, Failure> {
    let hosts: Vec<String> =
        text.split(',').map(|h| h.trim().to_owned()).filter(|h| !h.is_empty()).collect();
    match hosts.iter().find(|h| h.contains(['/', '*', ' ', '@'])) {
        None => Ok(hosts),
        Some(wrong) => {
            Err(Failure::new(Exit::Usage, format!("--allowed-hosts: `{wrong}` is not a host name"))
                .help(
                    "write names as browsers send them, without scheme and path: weir.example.com",
                ))
        }
    }
}

/// The text of a secret file.
fn read(path: &Path, what: &str) -> Result<Secret, Failure> {
    let wrong = |why: String| Failure::new(Exit::Config, format!("cannot read {what}: {why}"));
    let size = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?.len();
    if size > LARGEST_FILE {
        return Err(wrong(format!("it is larger than {LARGEST_FILE} bytes")));
    }
    std::fs::read_to_string(path).map(Secret::new).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_files_are_read_and_mistakes_name_the_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "# mine\n0123456789abcdef\n").unwrap();
        let settings = Settings::load(None).unwrap();
        let arguments = SafetyArguments {
            api_token_file: Some(path.clone()),
            allowed_hosts: Some("a.example, b.example".to_owned()),
            ..SafetyArguments::default()
        };
        let found = safety(&arguments, &settings).unwrap();
        assert!(found.api_tokens.unwrap().admit("0123456789abcdef").is_some());
        assert!(found.cluster_secret.is_none() && !found.insecure && !found.metrics_public);
        assert_eq!(found.allowed_hosts, ["a.example", "b.example"]);
        let sent = token("token-file", Some(&path), &settings).unwrap().unwrap();
        assert_eq!(sent.reveal(), "0123456789abcdef");

        let none = SafetyArguments {
            cluster_secret_file: Some(folder.path().join("none")),
            ..SafetyArguments::default()
        };
        let failure = safety(&none, &settings).unwrap_err();
        assert!(failure.message.contains("--cluster-secret-file"), "{failure:?}");
        std::fs::write(&path, "short\n").unwrap();
        let failure = safety(&arguments, &settings).unwrap_err();
        assert!(failure.message.contains("--api-token-file"), "{failure:?}");
        assert!(!failure.message.contains("short\n"), "{failure:?}");
        let wide =
            SafetyArguments { allowed_hosts: Some("*".to_owned()), ..SafetyArguments::default() };
        assert!(safety(&wide, &settings).unwrap_err().message.contains("--allowed-hosts"));
    }

    #[test]
    fn the_configuration_file_can_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.yaml");
        std::fs::write(&path, "insecure: true\nallowed-hosts: a.example\n").unwrap();
        let settings = Settings::load(Some(&path)).unwrap();
        let found = safety(&SafetyArguments::default(), &settings).unwrap();
        assert!(found.insecure);
        assert_eq!(found.allowed_hosts, ["a.example"]);
        std::fs::write(&path, "insecure: maybe\n").unwrap();
        let settings = Settings::load(Some(&path)).unwrap();
        assert!(safety(&SafetyArguments::default(), &settings).is_err());
    }
}
