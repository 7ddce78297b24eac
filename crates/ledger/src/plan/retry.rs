//! Decides whether a request for an id that is taken repeats the first one or conflicts with it.

use std::collections::BTreeMap;

use types::AccountId;

use super::Plan;
use crate::refusal::ensure;
use crate::{Address, Detail, Limits, MetadataOf, StatusRefusal, Transfer, TransferFlags, TransferStatus as S};

/// Something besides the ledger's own record that an account or a transfer is created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Address,
    Limits,
    Metadata,
}

impl Setting {
    /// The field of the request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Limits => "limits",
            Self::Metadata => "metadata",
        }
    }
}

impl Plan<'_> {
    /// What a request to open an account that exists asks for and the account was not opened with. Later changes of the
    /// account do not count.
    pub fn differs_from_opening(
        &self,
        account: AccountId,
        address: Option<&Address>,
        limits: Limits,
        metadata: &[(String, Option<String>)],
    ) -> Option<Setting> {
        let openings = &self.ledger.openings;
        let first_address = self.address(account).filter(|_| !openings.unaddressed.contains(&account));
        let first_limits = openings.limits.get(&account).copied().unwrap_or_else(|| self.limits(account));
        if first_address.as_deref() != address.map(Address::as_str) {
            Some(Setting::Address)
        } else if first_limits != limits {
            Some(Setting::Limits)
        } else {
            self.differs_from_first(MetadataOf::Account(account), metadata)
        }
    }

    /// The same for the metadata of an account or a transfer alone.
    pub fn differs_from_first(&self, of: MetadataOf, metadata: &[(String, Option<String>)]) -> Option<Setting> {
        let first = self.ledger.openings.metadata.get(&of).cloned().unwrap_or_else(|| self.metadata(of));
        let given = metadata.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        (first.iter().collect::<BTreeMap<_, _>>() != given.collect()).then_some(Setting::Metadata)
    }
}

/// Checks whether a request for a taken key repeats what is on record. `asked` is the requested transfer, with
/// everything that it takes from a pending transfer filled in.
pub(super) fn check_same(asked: &Transfer, recorded: &Transfer) -> Result<(), StatusRefusal<S>> {
    let numbers = |recorded: u128, given: u128| Detail::Numbers { recorded, given };
    let flags = Detail::Flags(recorded.flags.bits());
    let timeouts = numbers(recorded.timeout_s.into(), asked.timeout_s.into());
    let debits = Detail::Accounts { recorded: recorded.debit, given: asked.debit };
    let credits = Detail::Accounts { recorded: recorded.credit, given: asked.credit };
    let amounts = numbers(recorded.amount.get(), asked.amount.get());
    let ledgers = numbers(recorded.ledger.get().into(), asked.ledger.get().into());
    let codes = numbers(recorded.code.get().into(), asked.code.get().into());

    ensure(asked.flags == recorded.flags, S::ExistsWithDifferentFlags, flags)?;
    ensure(asked.pending == recorded.pending, S::ExistsWithDifferentPendingId, Detail::None)?;
    ensure(asked.timeout_s == recorded.timeout_s, S::ExistsWithDifferentTimeout, timeouts)?;
    ensure(asked.debit == recorded.debit, S::ExistsWithDifferentDebitAccountId, debits)?;
    ensure(asked.credit == recorded.credit, S::ExistsWithDifferentCreditAccountId, credits)?;
    ensure(is_same_amount(asked, recorded), S::ExistsWithDifferentAmount, amounts)?;
    ensure(asked.user_data_128 == recorded.user_data_128, S::ExistsWithDifferentUserData128, Detail::None)?;
    ensure(asked.user_data_64 == recorded.user_data_64, S::ExistsWithDifferentUserData64, Detail::None)?;
    ensure(asked.user_data_32 == recorded.user_data_32, S::ExistsWithDifferentUserData32, Detail::None)?;
    ensure(asked.ledger == recorded.ledger, S::ExistsWithDifferentLedger, ledgers)?;
    ensure(asked.code == recorded.code, S::ExistsWithDifferentCode, codes)
}

/// A balancing transfer asks for a maximum, whereas the record has the amount that moved.
fn is_same_amount(asked: &Transfer, recorded: &Transfer) -> bool {
    let is_maximum = recorded.flags.intersects(TransferFlags::BALANCING_DEBIT | TransferFlags::BALANCING_CREDIT);
    asked.amount == recorded.amount || (is_maximum && asked.amount > recorded.amount)
}
