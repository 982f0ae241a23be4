//! `s3://bucket/prefix`: S3 and stores that speak its protocol. Where it is and who we are
//! comes from the environment, so no URI, job file or log ever holds a secret.
//! Called by `lib.rs`.

use std::sync::Arc;
use std::time::Duration;

use model::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::Opened;

/// Looks up an environment variable; a parameter so that tests need not change the process.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A store that does not answer is given up on within about this long per request: a
/// checkpoint may then be tried again, and a job that starts says what is wrong.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one whole request. Parts are at most 8 MiB (`transfer.rs`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// `rest` is what follows `s3://`.
pub(crate) fn open(rest: &str, env: Environment<'_>) -> Result<Opened> {
    if rest.contains('@') {
        return Err(Error::user(
            "an s3:// URI must not hold credentials; set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY in the environment instead",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Error::user(format!(
            "`s3://{rest}` names no bucket; write s3://bucket/prefix"
        )));
    }
    let prefix = Path::parse(prefix)
        .map_err(|e| Error::user(format!("`s3://{rest}` is not a storage URI")).caused_by(e))?;
    let store = builder(bucket, env)?.build().map_err(|e| {
        Error::user(format!(
            "s3://{bucket} cannot be opened; check AWS_ENDPOINT_URL, AWS_REGION and the credentials"
        ))
        .caused_by(e)
    })?;
    let uri = format!("s3://{bucket}/{prefix}").trim_end_matches('/').to_owned();
    Ok(Opened { store: Arc::<AmazonS3>::new(store), prefix, local_root: None, uri })
}

fn builder(bucket: &str, env: Environment<'_>) -> Result<AmazonS3Builder> {
    let get = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    let flag = |name: &str| {
        get(name).map(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes"))
    };
    let endpoint = get("AWS_ENDPOINT_URL_S3").or_else(|| get("AWS_ENDPOINT_URL"));
    let region = get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION"));
    let plain_http = endpoint.as_deref().is_some_and(|e| e.starts_with("http://"));
    let virtual_hosted = flag("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").unwrap_or(endpoint.is_none());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.unwrap_or_else(|| "us-east-1".to_owned()))
        .with_virtual_hosted_style_request(virtual_hosted)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry())
        .with_client_options(
            ClientOptions::new()
                .with_timeout(REQUEST_TIMEOUT)
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_allow_http(plain_http || flag("AWS_ALLOW_HTTP").unwrap_or(false)),
        );
    let skip_signature = flag("AWS_SKIP_SIGNATURE").unwrap_or(false);
    match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
        (Some(key), Some(secret)) => {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        (None, None) if endpoint.is_none() || skip_signature => {}
        (None, None) => return Err(missing(bucket, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")),
        (Some(_), None) => return Err(missing(bucket, "AWS_SECRET_ACCESS_KEY")),
        (None, Some(_)) => return Err(missing(bucket, "AWS_ACCESS_KEY_ID")),
    }
    if let Some(endpoint) = endpoint {
        // Virtual-hosted requests need the bucket in the host; the builder takes the
        // endpoint literally.
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if virtual_hosted && !host.starts_with(&format!("{bucket}.")) => {
                format!("{scheme}://{bucket}.{host}")
            }
            Some(_) => endpoint,
            None => {
                return Err(Error::user(format!(
                    "AWS_ENDPOINT_URL `{endpoint}` is not a URL; write http://host:port or \
                     https://host"
                )));
            }
        };
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(token) = get("AWS_SESSION_TOKEN") {
        builder = builder.with_token(token);
    }
    // Where there are no keys: web identity, container and instance credentials.
    for name in [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_METADATA_ENDPOINT",
    ] {
        if let (Some(value), Ok(key)) =
            (get(name), name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>())
        {
            builder = builder.with_config(key, value);
        }
    }
    Ok(if skip_signature { builder.with_skip_signature(true) } else { builder })
}

fn missing(bucket: &str, what: &str) -> Error {
    Error::user(format!("no credentials for s3://{bucket}: set {what} in the environment"))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: RETRY_TIMEOUT,
    }
}
