//! Activating a policy, and showing the active one.

use std::sync::Arc;

use api::responses::Policy as Shown;
use engine::{ActivatePolicy, ActivePolicy, ArtifactChunk, Guard, Guarded, Key, Made, Refusal, query};
use policy::{Bundle, Policy};
use types::{ActorId, RequestId};

use crate::answer::{Edge, Handled, refused};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn activate<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let bundle = api::archive::bundle(call.body)?;
    let digest = bundle.digest();
    let by = Installer {
        actor: call.actor,
        request: RequestId::new(digest.head_u128()),
        key: edge.ids(call).key_of_archive(call.head.route.path, digest),
    };
    let Installed { made, active, policy } = edge.sources.install(by, bundle).await?;
    let mut shown = Shown::from(&active);
    if active.activated.artifact == policy.digest() {
        shown = shown.with_warnings(&active, &policy);
    }
    Ok(Response::created(made, "/v1/policies/active".to_owned(), &shown))
}

/// Who installs a policy, and how a retry is recognised.
#[derive(Debug, Clone)]
pub struct Installer {
    pub actor: ActorId,
    pub request: RequestId,
    pub key: Option<Key>,
}

/// A policy that was activated, now or before.
#[derive(Debug)]
pub struct Installed {
    pub made: Made,
    /// The active policy. It is another one if this request is a retry and another policy was activated since.
    pub active: ActivePolicy,
    pub policy: Arc<Policy>,
}

pub(crate) async fn get_active<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    Ok(Response::found(&Shown::from(&edge.ask_unnamed(call, query::Policy).await?)))
}

/// Stores a bundle as artifact entries and activates it.
///
/// # Errors
/// Fails if the engine refuses it. The previous policy then stays active.
pub async fn install<S: Sources + Sync>(
    sources: &S,
    Installer { actor, request, key }: Installer,
    bundle: &Bundle,
    policy: Arc<Policy>,
) -> Result<Installed, S::Failure> {
    let artifact = policy.digest();
    let activate = ActivatePolicy { artifact, policy: Arc::clone(&policy) };
    let activate = Guarded { guard: Guard { key, if_match: None }, operation: activate };
    match sources.ask(actor, request, activate.clone()).await? {
        Err(Refusal::ArtifactIncomplete(_)) => {}
        // The policy is stored, or this is a retry.
        answer => {
            let (made, active) = answer.map_err(refused::<S::Failure>)?;
            return Ok(Installed { made, active, policy });
        }
    }
    let bytes = bundle.to_bytes();
    let parts = bytes.chunks(ArtifactChunk::BYTES_MAX);
    let count = u32::try_from(parts.len()).expect("a bundle is at most 16 MiB");
    for (index, part) in (0..count).zip(parts) {
        let chunk = ArtifactChunk { artifact, index, count, bytes: part.into() };
        sources.ask(actor, request, chunk).await?.map_err(refused::<S::Failure>)?;
    }
    let (made, active) = sources.ask(actor, request, activate).await?.map_err(refused::<S::Failure>)?;
    Ok(Installed { made, active, policy })
}
