//! The audit: who did what.

use std::collections::{BTreeMap, BTreeSet};

use api::List;
use api::audit::{AuditFilter, AuditItem};
use api::responses::Page;
use engine::{Principal, query};
use types::{ActorId, Seq};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Past;

/// Which page of the audit a client asks for.
#[derive(Debug, Clone)]
pub struct AuditWanted {
    pub filter: AuditFilter,
    /// The `next` of the previous page.
    pub after: Option<Seq>,
    pub limit: usize,
}

pub(crate) async fn list<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let mut filter = AuditFilter::read(call.parameters())?;
    if let Some(name) = call.parameters().parsed("account")? {
        filter.account = Some(edge.account(call, name).await?.id);
    }
    let after = call.parameters().cursor_if_given(history, List::Audit)?.map(Seq::new);
    let page = edge.sources.audit(AuditWanted { filter, after, limit: call.parameters().limit()? }).await?;
    // Numbers of principals mean something in the journal of their tenant only.
    let own = |tenant| tenant == edge.installation.tenant;
    let actors: BTreeSet<ActorId> = page.items.iter().filter(|deed| own(deed.tenant)).map(|deed| deed.actor).collect();
    let known = edge.ask_unnamed(call, query::Principals(actors.into_iter().collect())).await?;
    let known: BTreeMap<ActorId, Principal> = known.into_iter().collect();
    let items = page.items.into_iter().map(|deed| {
        let principal = known.get(&deed.actor).filter(|_| own(deed.tenant));
        AuditItem::new(deed, principal)
    });
    let next_cursor = page.next.map(|seq| history.cursor(List::Audit, seq.get()));
    Ok(Response::found(&Page { items: items.collect(), next_cursor }))
}
