//! Pages of transfers: by metadata, and of those that still reserve their amount.

use ledger::{MetadataOf, Transfer, TransferKey};
use types::{AccountId, Timestamp, TransferId};

use crate::{Engine, Page};

/// The most transfers that are examined for one page, so that a filter that matches nothing cannot hold the engine.
const SCANNED_MAX: usize = 1_000;

impl Engine {
    /// The ids after `after` of client transfers that have all these values. A page that is not full may still have a
    /// place to continue from, because only a bounded number of transfers is examined.
    pub(crate) fn transfers_by_metadata(
        &self,
        metadata: &[(String, String)],
        after: Option<TransferId>,
        limit: usize,
    ) -> Page<TransferId, TransferId> {
        let ledger = &self.state.ledger;
        let Some((key, value)) = metadata.first() else { return Page { items: Vec::new(), next: None } };
        // In the order of metadata, accounts come before transfers.
        let after = match after {
            Some(id) => MetadataOf::Transfer(TransferKey::Client(id)),
            None => MetadataOf::Account(AccountId::new(u128::MAX)),
        };
        let found = ledger.find_by_metadata(key, value, Some(after), SCANNED_MAX);
        let is_whole = found.len() == SCANNED_MAX;
        let of_client = |of| if let MetadataOf::Transfer(TransferKey::Client(id)) = of { Some(id) } else { None };
        let candidates: Vec<TransferId> = found.into_iter().map_while(of_client).collect();
        let mut next = candidates.last().copied().filter(|_| is_whole && candidates.len() == SCANNED_MAX);
        let mut ids: Vec<TransferId> = Vec::new();
        for id in candidates {
            let known = ledger.metadata(MetadataOf::Transfer(TransferKey::Client(id)));
            if !known.is_some_and(|known| metadata.iter().all(|(key, value)| known.get(key) == Some(value))) {
                continue;
            }
            if ids.len() == limit {
                next = ids.last().copied();
                break;
            }
            ids.push(id);
        }
        Page { items: ids, next }
    }

    /// Unresolved transfers after `after` that match. Again, a page need not be full.
    pub(crate) fn pending_page(
        &self,
        fits: impl Fn(&Transfer) -> bool,
        after: Timestamp,
        limit: usize,
    ) -> Page<Transfer, Timestamp> {
        let mut transfers: Vec<Transfer> = Vec::new();
        let mut next = None;
        let mut later = self.state.ledger.unresolved_after(after);
        for transfer in later.by_ref().take(SCANNED_MAX) {
            next = Some(transfer.timestamp);
            if fits(&transfer) {
                transfers.push(transfer);
            }
            if transfers.len() >= limit {
                break;
            }
        }
        let more = later.next().is_some();
        Page { items: transfers, next: next.filter(|_| more) }
    }
}
