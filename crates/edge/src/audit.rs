//! The audit: who did what.

use std::collections::{BTreeMap, BTreeSet};

use api::audit::{AuditFilter, AuditItem, Deed};
use api::{CursorOrigin, List, Parameters, Problem, responses};
use engine::{Page, Principal, query};
use types::{ActorId, Seq};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::{Past, Sources};

/// Which page of the audit a client asks for.
#[derive(Debug, Clone)]
pub struct AuditWanted {
    pub filter: AuditFilter,
    /// The `next` of the previous page.
    pub after: Option<Seq>,
    pub limit: usize,
}

impl AuditWanted {
    /// Reads the parameters, apart from the account. The cursor is one of `history`.
    ///
    /// # Errors
    /// If a parameter is invalid.
    pub fn read(parameters: &Parameters, history: CursorOrigin) -> Result<Self, Problem> {
        let filter = AuditFilter::read(parameters)?;
        let after = parameters.cursor_if_given(history, List::Audit)?.map(Seq::new);
        Ok(Self { filter, after, limit: parameters.limit()? })
    }
}

pub(crate) async fn list<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let mut wanted = AuditWanted::read(call.parameters(), history)?;
    if let Some(name) = call.parameters().parsed("account")? {
        wanted.filter.account = Some(edge.account(call, name).await?.id);
    }
    let page = edge.sources.audit(wanted).await?;
    edge.show_audit(call, history, page).await
}

impl<S: Sources + Sync> Edge<S> {
    /// Shows a page of what was done in the journal of `history`, with the names of actors of this tenant.
    ///
    /// # Errors
    /// If the engine cannot be asked for the names.
    pub async fn show_audit(
        &self,
        call: &Call<'_>,
        history: CursorOrigin,
        page: Page<Deed, Seq>,
    ) -> Handled<S::Failure> {
        // Numbers of principals mean something in the journal of their tenant only.
        let own = |deed: &&Deed| deed.tenant == self.installation.tenant;
        let actors: BTreeSet<ActorId> = page.items.iter().filter(own).map(|deed| deed.actor).collect();
        let known = self.ask_unnamed(call, query::Principals(actors.into_iter().collect())).await?;
        let known: BTreeMap<ActorId, Principal> = known.into_iter().collect();
        let items = page.items.into_iter().map(|deed| {
            let principal = known.get(&deed.actor).filter(|_| own(&&deed));
            AuditItem::new(deed, principal)
        });
        let next_cursor = page.next.map(|seq| history.cursor(List::Audit, seq.get()));
        Ok(Response::found(&responses::Page { items: items.collect(), next_cursor }))
    }
}
