//! `spec.slo`: what the user promises of the job, and who is told when it is broken.
//! Called by `document`.

use model::config::{SloConfig, SloRate, WebhookConfig};

use crate::fields::Fields;
use crate::quantity;
use crate::yaml::Node;

const RATE_HELP: &str = "write a number and a time, for example `3/1h`: at most 3 an hour";
const SECRET_HELP: &str =
    "write `secret: ${env:NAME}`: the job manager reads the variable when it signs";

pub(crate) fn read(fields: Fields<'_>) -> SloConfig {
    let ms = |name| fields.duration(name, 1000).map(|d| d.value);
    let config = SloConfig {
        freshness_ms: ms("freshness"),
        silence_ms: ms("silence"),
        checkpoint_age_ms: ms("checkpointAge"),
        restart_rate: rate(&fields, "restartRate"),
        dead_letter_rate: rate(&fields, "deadLetterRate"),
        webhook: fields.fields("webhook", "`webhook`").and_then(webhook),
    };
    fields.finish();
    config
}

/// `3/1h`.
fn rate(fields: &Fields<'_>, name: &'static str) -> Option<SloRate> {
    let node = fields.node(name)?;
    let Some(text) = node.scalar().map(|s| s.text.as_str()) else {
        fields.wrong_type(node, name, "a rate such as `3/1h`");
        return None;
    };
    let parsed = text.split_once('/').and_then(|(count, per)| {
        let count: u32 = count.trim().parse().ok()?;
        let per_ms = quantity::duration_ms(per).ok()?;
        (1000..=86_400_000).contains(&per_ms).then_some(SloRate { count, per_ms })
    });
    if parsed.is_none() {
        let message = format!("`{name}` must be a rate, but is {}", node.describe());
        let help = format!("{RATE_HELP}; the time is between 1s and 1d");
        fields.report().add_help("E0108", &node.span, message, help);
    }
    parsed
}

fn webhook(fields: Fields<'_>) -> Option<WebhookConfig> {
    fields.require("url", "for example `url: https://hooks.example.com/weir`");
    let url = fields.text("url").and_then(|found| {
        let scheme = found.value.split("://").next().unwrap_or_default();
        let host = found.value.split("://").nth(1).unwrap_or_default();
        if !matches!(scheme, "http" | "https") || host.is_empty() {
            let message = format!("`{}` is not the URL of a webhook", found.value);
            let help = "write a URL that begins with http:// or https://";
            fields.report().add_help("E0107", &found.span, message, help);
            return None;
        }
        fields.node("url").map(as_written)
    });
    let secret = fields.node("secret").and_then(|node| {
        let written = as_written(node);
        let is_reference = written.starts_with("${env:") && written.ends_with('}');
        if !is_reference || written.contains(":-") {
            let message = "`secret` must be a reference, so that no secret lies in the job";
            fields.report().add_help("E0107", &node.span, message, SECRET_HELP);
            return None;
        }
        Some(written)
    });
    fields.finish();
    Some(WebhookConfig { url: url?, secret })
}

/// The text with its references, which are resolved by the job manager when it sends.
fn as_written(node: &Node) -> String {
    node.scalar().map(|s| s.as_written().to_owned()).unwrap_or_default()
}
