//! Who may talk to a Weir process. `jobmanager` and `taskmanager` ask it at every listener,
//! `cli` fills it from flags and secret files. It decides; it opens no file and no socket.
//!
//! | file | answers |
//! |---|---|
//! | `bind.rs` | may a process listen there with what it was given |
//! | `secret.rs` | how a secret is held so that it cannot be printed |
//! | `api_token.rs` | is a bearer token one of ours |
//! | `http_guard.rs` | may an HTTP request pass: token, `Host`, `Origin` |
//! | `cluster_secret.rs`, `rpc_guard.rs` | does an RPC come from this cluster |

mod api_token;
mod bind;
mod cluster_secret;
mod http_guard;
mod rpc_guard;
mod secret;

pub use api_token::{ApiTokens, Fingerprint};
pub use bind::{Listener, Safety, is_loopback};
pub use cluster_secret::ClusterSecret;
pub use http_guard::{Caller, HttpGuard, Refusal};
pub use rpc_guard::{Guard, GuardLayer, PROOF_HEADER, Prover};
pub use secret::Secret;
