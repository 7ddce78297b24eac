//! What the built-in issuer needs now and then: new keys, and forgetting what has expired.

use std::sync::Arc;
use std::time::Duration;

use engine::{Expected, RemoveSetting, SettingKind};
use types::{ActorId, RequestId, Timestamp};

use crate::tenants::Tenants;

/// How often to look. Keys are published again each time, far more often than a verifier gives them up.
const EVERY: Duration = Duration::from_secs(30);

/// Keeps the built-in issuer in order until it is dropped.
pub(crate) async fn keep(tenants: Arc<Tenants>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let now = tenants.home().core.now();
        keep_keys(&tenants, now).await;
        forget_tokens(&tenants, now).await;
    }
}

async fn keep_keys(tenants: &Arc<Tenants>, now: Timestamp) {
    let installation = Arc::clone(tenants.installation());
    let keeping = tokio::task::spawn_blocking(move || {
        let identity = &installation.identity;
        let Some(built_in) = identity.built_in() else { return };
        let (rotates, expires) = built_in.is_due(now);
        if rotates {
            report(built_in.rotate(now), "the signing keys were rotated");
        } else if expires {
            report(built_in.expire(now), "a retired signing key was removed");
        }
        identity.publish_keys(now);
    });
    if keeping.await.is_err() {
        tracing::error!("the signing keys could not be looked after");
    }
}

fn report(changed: Result<(), super::KeysError>, what: &str) {
    match changed {
        Ok(()) => tracing::info!("{what}"),
        Err(error) => tracing::error!(%error, "the signing keys cannot be changed"),
    }
}

/// Removes the settings of revoked tokens that would have expired by now.
async fn forget_tokens(tenants: &Arc<Tenants>, now: Timestamp) {
    let expired: Vec<String> = {
        let settings = tenants.installation().identity.settings();
        let expired = settings.revoked.iter().filter(|(_, revoked)| revoked.expires_at <= now);
        expired.map(|(id, _)| id.clone()).collect()
    };
    let system = tenants.system();
    for id in expired {
        let Ok(name) = id.parse() else { continue };
        let remove = RemoveSetting { kind: SettingKind::RevokedToken, name, expected: Expected::Any };
        let asked = system.ask_as((system.tenant(), ActorId::SYSTEM), RequestId::default(), remove).await;
        // The next round tries again.
        if !matches!(asked, Ok(Ok(_))) {
            return;
        }
    }
}
