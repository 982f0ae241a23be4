//! Where the jobs of a shell run: on a cluster that is there, or on one in this process,
//! started with the first job. Called by `mod`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::access;
use crate::arguments::{SafetyArguments, SqlArguments};
use crate::client::Client;
use crate::commands;
use crate::exit::{Exit, Failure};
use crate::local::{LocalCluster, LocalOptions};
use crate::settings::Settings;

const ANSWER: Duration = Duration::from_secs(30);
/// How often a job is looked at that is waited for.
const POLL: Duration = Duration::from_millis(25);
/// Slots of the cluster in this process: several jobs may run at the same time.
const SLOTS: u32 = 64;

/// Runs jobs.
pub enum Target {
    Server(Client),
    Embedded(Box<Embedded>),
}

/// A cluster in this process.
pub struct Embedded {
    settings: Settings,
    running: Option<(LocalCluster, Client)>,
}

impl Target {
    /// A server when one is named by flag, environment or configuration.
    ///
    /// # Errors
    /// The token file cannot be read, or a duration is none.
    pub fn new(arguments: &SqlArguments, settings: &Settings) -> Result<Self, Failure> {
        match settings.text("server", arguments.server.server.as_deref()) {
            Some(_) => Ok(Self::Server(commands::client(&arguments.server, settings, ANSWER)?)),
            None => {
                let embedded = Embedded { settings: settings.clone(), running: None };
                Ok(Self::Embedded(Box::new(embedded)))
            }
        }
    }

    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Whether a cluster is there without starting one.
    pub fn is_up(&self) -> bool {
        match self {
            Self::Server(_) => true,
            Self::Embedded(embedded) => embedded.running.is_some(),
        }
    }

    /// The job manager. Starts the cluster in this process if that is not up yet.
    ///
    /// # Errors
    /// It does not start.
    pub async fn client(&mut self) -> Result<&Client, Failure> {
        match self {
            Self::Server(client) => Ok(client),
            Self::Embedded(embedded) => embedded.client().await,
        }
    }

    /// Stops the cluster in this process, and with it its jobs.
    pub async fn shutdown(self) -> Result<(), Failure> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Embedded(embedded) => match embedded.running {
                Some((cluster, _)) => cluster.shutdown().await,
                None => Ok(()),
            },
        }
    }
}

impl Embedded {
    async fn client(&mut self) -> Result<&Client, Failure> {
        if self.running.is_none() {
            let settings = &self.settings;
            let cluster = LocalCluster::start(LocalOptions {
                // Any ports: several shells on one machine must not meet.
                http_addr: settings.address("http-addr", Some("127.0.0.1:0"), "")?,
                rpc_addr: settings.address("rpc-addr", Some("127.0.0.1:0"), "")?,
                taps: true,
                slots: settings.slots(None, SLOTS)?,
                storage: settings.storage(None),
                state_dir: settings.state_dir(None),
                job_environment: settings.job_environment(None),
                safety: access::safety(&SafetyArguments::default(), settings)?,
            })
            .await?;
            let token = access::token("api-token-file", None, settings)?;
            let client = Client::new(cluster.url(), ANSWER)?.with_token(token);
            self.running = Some((cluster, client));
        }
        match &self.running {
            Some((_, client)) => Ok(client),
            None => Err(Failure::new(Exit::Failed, "the cluster in this process is not up")),
        }
    }
}

/// Waits until the job has ended, and returns its details.
///
/// # Errors
/// The job manager does not answer.
pub async fn ended(client: &Client, id: &str) -> Result<Value, Failure> {
    loop {
        let details = client.job(id).await?;
        if matches!(details["status"].as_str(), Some("FINISHED" | "FAILED" | "CANCELED")) {
            return Ok(details);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Cancels the job and waits a moment for its end.
pub async fn cancel(client: &Client, id: &str) {
    // Over already: then there is nothing to cancel.
    let _ = client.post(&format!("/jobs/{id}/cancel"), &json!({})).await;
    let _ = tokio::time::timeout(Duration::from_secs(10), ended(client, id)).await;
}
