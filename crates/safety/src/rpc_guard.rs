//! The cluster secret on the wire: a tower layer before every gRPC service of a process
//! (control and data plane), which refuses calls without a proof before their body is read,
//! and a client wrapper that adds it. Used by `rpc.rs` and `server.rs` of both roles.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use crate::cluster_secret::{ClusterSecret, now_ms};

/// Metadata key of the proof.
pub const PROOF_HEADER: &str = "weir-cluster-secret";

/// Puts a [`Guard`] before a server's services. Without a secret every call passes.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    secret: Option<ClusterSecret>,
}

impl GuardLayer {
    pub fn new(secret: Option<ClusterSecret>) -> Self {
        Self { secret }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, secret: self.secret.clone() }
    }
}

/// Refuses calls that do not prove the cluster secret (UNAUTHENTICATED).
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    secret: Option<ClusterSecret>,
}

fn admit<B>(secret: &ClusterSecret, request: &Request<B>) -> Result<(), Status> {
    let proof = request.headers().get(PROOF_HEADER).and_then(|value| value.to_str().ok());
    let path = request.uri().path();
    let checked = match proof {
        Some(proof) => secret.check(path, proof, now_ms()),
        None => Err("the call carries no proof of the cluster secret; start every process of a \
             cluster with the same --cluster-secret-file"),
    };
    checked.map_err(|why| {
        tracing::warn!(path, why, "refused a call from outside the cluster");
        Status::unauthenticated(why)
    })
}

type Answering<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answering<Response<R>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(secret) = &self.secret
            && let Err(status) = admit(secret, &request)
        {
            let response = status.into_http();
            return Box::pin(async move { Ok(response) });
        }
        Box::pin(self.inner.call(request))
    }
}

/// A channel whose calls prove the cluster secret.
#[derive(Clone, Debug)]
pub struct Prover<S> {
    inner: S,
    secret: Option<ClusterSecret>,
}

impl<S> Prover<S> {
    /// Without a secret calls pass unchanged.
    pub fn new(inner: S, secret: Option<ClusterSecret>) -> Self {
        Self { inner, secret }
    }
}

impl<S, B> Service<Request<B>> for Prover<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(secret) = &self.secret {
            let proof = secret.prove(request.uri().path(), now_ms());
            let proof = HeaderValue::from_str(&proof).expect("digits, dots and letters");
            request.headers_mut().insert(PROOF_HEADER, proof);
        }
        self.inner.call(request)
    }
}
