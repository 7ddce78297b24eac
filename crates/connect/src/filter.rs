//! Which rows a target gets.

use engine::PaymentDecided;
use ledger::Fact;
use types::{LedgerId, Name};

/// What a target with rows is limited to. Without a list, everything of its kind is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The ledgers whose accounts, transfers and payments are kept.
    pub ledgers: Option<Vec<LedgerId>>,
    /// The types of the payments that are kept. Transfers of other payments are kept all the same, because balances contain them.
    pub payment_types: Option<Vec<Name>>,
    pub without: Without,
}

/// Parts of payments that a target does not get. They are null in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "Vec<Part>")]
pub struct Without {
    pub(crate) reasons: bool,
    pub(crate) attributes: bool,
    pub(crate) features: bool,
    pub(crate) models: bool,
}

/// The name of such a part in a configuration.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Reasons,
    Attributes,
    Features,
    Models,
}

impl From<Vec<Part>> for Without {
    fn from(parts: Vec<Part>) -> Self {
        let mut without = Self::default();
        for part in parts {
            *match part {
                Part::Reasons => &mut without.reasons,
                Part::Attributes => &mut without.attributes,
                Part::Features => &mut without.features,
                Part::Models => &mut without.models,
            } = true;
        }
        without
    }
}

impl Filter {
    /// Whether every account, transfer and payment is kept.
    pub const fn keeps_all(&self) -> bool {
        self.ledgers.is_none() && self.payment_types.is_none()
    }

    fn keeps_ledger(&self, ledger: LedgerId) -> bool {
        self.ledgers.as_ref().is_none_or(|ledgers| ledgers.contains(&ledger))
    }

    /// Whether a fact may be about something that is kept. Only some facts name their ledger.
    pub(crate) fn may_keep(&self, fact: &Fact) -> bool {
        match fact {
            Fact::BookOpened(book) => self.keeps_ledger(book.id),
            Fact::AccountOpened(account) => self.keeps_ledger(account.ledger),
            Fact::TransferCreated(transfer) => self.keeps_ledger(transfer.ledger),
            Fact::TransferExpired(_)
            | Fact::LimitsSet { .. }
            | Fact::AddressSet { .. }
            | Fact::MetadataSet { .. }
            | Fact::TransferFailed { .. }
            | Fact::TransferScheduled(_)
            | Fact::ScheduledCancelled { .. }
            | Fact::IndexesChosen { .. }
            | Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. }
            | Fact::ImportNoted { .. } => true,
        }
    }

    pub(crate) fn keeps_payment(&self, decided: &PaymentDecided) -> bool {
        let is_type = |types: &Vec<Name>| types.contains(&decided.payment_type);
        self.keeps_ledger(decided.ledger) && self.payment_types.as_ref().is_none_or(is_type)
    }
}
