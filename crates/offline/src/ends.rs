//! Finds out where a journal may be cut off.

use engine::{Entry, Fact};
use ledger::{AccountFlags, MetadataOf, TransferFlags, TransferKey};
use types::{AccountId, Seq};

/// A frame that is to be cut off after one of its entries.
#[derive(Debug)]
pub(super) struct Cut {
    /// The entries before the cut.
    pub(super) kept: Vec<Entry>,
    /// If the frame cannot be cut here: the nearest sequences after which it can be.
    pub(super) nearest: Option<(Seq, Seq)>,
}

/// Cuts a frame after the entry `last`.
pub(super) fn cut(mut entries: Vec<Entry>, last: Seq) -> Cut {
    let kept = entries.iter().take_while(|entry| entry.header.seq <= last).count();
    let before_the_first = entries.first().map_or(last, |first| Seq::new(first.header.seq.get() - 1));
    let at = |kept: usize| Seq::new(before_the_first.get() + kept as u64);
    let is_end = |kept: &usize| !is_inside(&entries, *kept);
    let before = (0..kept).rev().find(is_end).map_or(before_the_first, at);
    let after = (kept..=entries.len()).find(is_end).map_or(last, at);
    let nearest = is_inside(&entries, kept).then_some((before, after));
    entries.truncate(kept);
    Cut { kept: entries, nearest }
}

/// Whether a cut after the first `kept` entries of a frame would separate entries that became durable together: the
/// events of a chain, or an order and its details. No crash can separate them, since they are in one frame.
fn is_inside(entries: &[Entry], kept: usize) -> bool {
    let (Some(last), Some(next)) = (kept.checked_sub(1).and_then(|place| entries.get(place)), entries.get(kept)) else {
        return false;
    };
    is_linked(last) || is_detail_of(entries.get(..kept).unwrap_or_default(), next)
}

fn is_linked(entry: &Entry) -> bool {
    let Fact::Ledger(fact) = &entry.fact else { return false };
    match fact {
        ledger::Fact::TransferCreated(transfer) => transfer.flags.contains(TransferFlags::LINKED),
        ledger::Fact::TransferScheduled(scheduled) => scheduled.new.flags.contains(TransferFlags::LINKED),
        ledger::Fact::AccountOpened(account) => account.flags.contains(AccountFlags::LINKED),
        ledger::Fact::BookOpened(_)
        | ledger::Fact::TransferFailed { .. }
        | ledger::Fact::TransferExpired(_)
        | ledger::Fact::LimitsSet { .. }
        | ledger::Fact::AddressSet { .. }
        | ledger::Fact::MetadataSet { .. }
        | ledger::Fact::ScheduledCancelled { .. }
        | ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::AccountStaged { .. }
        | ledger::Fact::TransferStaged { .. }
        | ledger::Fact::ImportNoted { .. } => false,
    }
}

/// The object that an order names.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Subject {
    Account(AccountId),
    Transfer(TransferKey),
}

/// Whether an entry is a detail of something that an earlier entry in the frame created. An independent change in the
/// same frame looks the same, and is treated as a detail too.
fn is_detail_of(before: &[Entry], entry: &Entry) -> bool {
    let Fact::Ledger(fact) = &entry.fact else { return false };
    let subject = if let ledger::Fact::LimitsSet { account, .. } | ledger::Fact::AddressSet { account, .. } = fact {
        Subject::Account(*account)
    } else if let ledger::Fact::MetadataSet { of: MetadataOf::Account(account), .. } = fact {
        Subject::Account(*account)
    } else if let ledger::Fact::MetadataSet { of: MetadataOf::Transfer(key), .. } = fact {
        Subject::Transfer(*key)
    } else {
        return false;
    };
    let made = |entry: &Entry| {
        let Fact::Ledger(fact) = &entry.fact else { return None };
        if let ledger::Fact::AccountOpened(account) = fact {
            Some(Subject::Account(account.id))
        } else if let ledger::Fact::TransferCreated(transfer) = fact {
            Some(Subject::Transfer(transfer.key))
        } else if let ledger::Fact::TransferScheduled(scheduled) = fact {
            Some(Subject::Transfer(scheduled.new.key))
        } else {
            None
        }
    };
    before.iter().any(|entry| made(entry) == Some(subject))
}

#[cfg(test)]
mod tests {
    use engine::Header;
    use ledger::{NewTransfer, Scheduled};
    use types::{ActorId, RequestId, ShardId, TenantId, Timestamp, TransferId};

    use super::*;

    fn entry(seq: u64, fact: ledger::Fact) -> Entry {
        let header = Header {
            shard: ShardId::new(0),
            seq: Seq::new(seq),
            tenant: TenantId::new(1),
            actor: ActorId::SYSTEM,
            request: RequestId::default(),
            decided_at: Timestamp::from_ns(seq),
            occurred_at: Timestamp::from_ns(seq),
        };
        Entry { header, fact: Fact::Ledger(fact), sealed: None }
    }

    fn key(id: u128) -> TransferKey {
        TransferKey::Client(TransferId::new(id))
    }

    fn transfer(seq: u64, flags: TransferFlags) -> Entry {
        let new = NewTransfer { flags, ..NewTransfer::named(key(seq.into())) };
        entry(seq, ledger::Fact::TransferScheduled(Scheduled { new, at: Timestamp::from_ns(seq) }))
    }

    fn detail(seq: u64, of: u128) -> Entry {
        entry(seq, ledger::Fact::MetadataSet { of: MetadataOf::Transfer(key(of)), values: Vec::new() })
    }

    #[test]
    fn a_frame_is_cut_only_between_orders_and_chains() {
        // Entry 11; a chain of 12 to 14 with a detail of 12; 16; a change of something older than the frame.
        let (linked, alone) = (TransferFlags::LINKED, TransferFlags::NONE);
        let entries = vec![
            transfer(11, alone),
            transfer(12, linked),
            transfer(13, linked),
            transfer(14, alone),
            detail(15, 12),
            transfer(16, alone),
            detail(17, 999),
        ];
        let inside = Some((Seq::new(11), Seq::new(15)));
        let expected = [None, inside, inside, inside, None, None, None];
        for (last, expected) in (11..).zip(expected) {
            let cut = cut(entries.clone(), Seq::new(last));
            assert_eq!((cut.kept.len() as u64, cut.nearest), (last - 10, expected), "after {last}");
        }
        let chain = entries.into_iter().skip(1).collect();
        assert_eq!(
            cut(chain, Seq::new(12)).nearest,
            Some((Seq::new(11), Seq::new(15))),
            "the frame begins with the chain"
        );
    }
}
