//! Activating a policy, and showing the active one.

use std::sync::Arc;

use api::responses::Policy as Shown;
use engine::{ActivatePolicy, ActivePolicy, ArtifactChunk, Made, query};
use policy::{Bundle, Policy};
use types::{ActorId, RequestId};

use crate::answer::{Edge, Handled, refused};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn activate<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let bundle = api::archive::bundle(call.body)?;
    let id = RequestId::new(bundle.digest().head_u128());
    let Installed { made, active, policy } = edge.sources.install(call.actor, id, bundle).await?;
    let shown = Shown::from(&active).with_warnings(&active, &policy);
    Ok(Response::created(made, "/v1/policies/active".to_owned(), &shown))
}

/// A policy that was activated, now or before.
#[derive(Debug)]
pub struct Installed {
    pub made: Made,
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
    (actor, id): (ActorId, RequestId),
    bundle: &Bundle,
    policy: Arc<Policy>,
) -> Result<Installed, S::Failure> {
    let artifact = policy.digest();
    let bytes = bundle.to_bytes();
    let parts = bytes.chunks(ArtifactChunk::BYTES_MAX);
    let count = u32::try_from(parts.len()).expect("a bundle is at most 16 MiB");
    for (index, part) in (0..count).zip(parts) {
        let chunk = ArtifactChunk { artifact, index, count, bytes: part.into() };
        sources.ask(actor, id, chunk).await?.map_err(refused::<S::Failure>)?;
    }
    let activate = ActivatePolicy { artifact, policy: Arc::clone(&policy) };
    let (made, active) = sources.ask(actor, id, activate).await?.map_err(refused::<S::Failure>)?;
    Ok(Installed { made, active, policy })
}
