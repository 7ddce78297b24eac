//! Checks that answers show what the model holds.

use engine::{AccountName, Answer, AnyTransfer, PAGE_MAX, Page, Query, Reply, query};
use ledger::{PendingState, Transfer, TransferKey};
use types::{Amount, Timestamp};

use super::books::Books;
use super::orders::{shows_account, shows_transfer};
use super::turn::{Turn, code};
use super::{Model, ensure};

impl Model {
    /// Checks that a reply shows the current state of the model.
    pub(crate) fn shows(&self, at: Timestamp, reply: &Reply) -> Result<(), String> {
        let books = &self.books;
        let same =
            |shown: bool, what: &str| ensure(shown, "SIM-3", || format!("{what} in the answer differs from the model"));
        match reply {
            Reply::LedgerMade((_, book)) => same(books.books.get(&book.id) == Some(book), "the ledger"),
            Reply::Ledgers(all) => same(all.iter().eq(books.books.values()), "the list of ledgers"),
            Reply::Account(account) | Reply::AccountMade((_, account)) => shows_account(books, account),
            Reply::Transfer(AnyTransfer::Made(transfer))
            | Reply::TransferMade((_, AnyTransfer::Made(transfer)))
            | Reply::TransferChanged((_, transfer)) => shows_transfer(books, at, transfer),
            Reply::Transfer(AnyTransfer::Scheduled(one)) | Reply::TransferMade((_, AnyTransfer::Scheduled(one))) => {
                same(books.scheduled.contains(one), "a scheduled transfer")
            }
            Reply::Cancelled((_, one)) => {
                let is_over = |one: &ledger::Scheduled| match one.new.key {
                    TransferKey::Client(id) => books.failed.contains_key(&id),
                    TransferKey::Leg { .. } => false,
                };
                same(one.as_deref().is_none_or(is_over), "a cancelled transfer")
            }
            Reply::Payment(payment) | Reply::PaymentMade((_, payment)) => {
                let of = ledger::MetadataOf::Payment(payment.payment.id);
                let metadata = books.metadata.get(&of).cloned().unwrap_or_default();
                same(metadata == payment.metadata, "the metadata of a payment")?;
                self.payments.shows(at, payment)
            }
            Reply::Label((_, label)) => {
                let known = self.payments.all.get(&label.payment).and_then(|paid| paid.label.clone());
                same(known == Some((label.label.name.clone(), label.label.positive)), "the label")
            }
            Reply::Policy(policy) | Reply::PolicyMade((_, policy)) => {
                let active = self.payments.active.as_ref().map(|active| (active.seq, active.artifact));
                same(active == Some((policy.seq, policy.activated.artifact)), "the policy")
            }
            Reply::Import(status) | Reply::ImportMade((_, status)) => {
                let known = books.import_of(status.import.id);
                let shown = known.is_some_and(|known| {
                    let counts = (known.accounts.len() as u64, known.transfers.len() as u64);
                    (known.import, known.state) == (status.import, status.state)
                        && counts == (status.progress.accounts, status.progress.transfers)
                });
                same(shown, "the import")
            }
            Reply::Credential(told) | Reply::CredentialMade((_, told)) => same(self.identities.shows(told), "an API key"),
            Reply::Credentials(Page { items, .. }) => {
                same(items.iter().all(|told| self.identities.shows(told)), "the list of API keys")
            }
            Reply::NextCredential(next) => same(!self.identities.knows(*next), "the next number of an API key"),
            Reply::ApprovalRules(told) | Reply::ApprovalRulesMade((_, told)) => {
                same(told.rules == self.approvals.rules, "the approval rules")
            }
            Reply::Proposal(told) | Reply::ProposalMade((_, told)) => same(self.approvals.shows(at, told), "a proposal"),
            Reply::Proposals(Page { items, .. }) => {
                same(items.iter().all(|told| self.approvals.shows(at, told)), "the list of proposals")
            }
            Reply::Admitted((_, actor)) => same(self.identities.is_admitted(*actor), "the principal of a subject"),
            Reply::Setting(told) | Reply::SettingMade((_, told)) => same(self.settings.shows(told), "a setting"),
            Reply::Settings(Page { items, .. }) => {
                same(items.iter().all(|told| self.settings.shows(told)), "the list of settings")
            }
            Reply::EntityAttributes(told) | Reply::EntityAttributesMade((_, told)) => {
                same(self.payments.attributes.shows(told), "the attributes of an entity")
            }
            Reply::List(told) | Reply::ListMade((_, told)) => same(self.payments.lists.shows(told), "a list"),
            Reply::Lists(all) => same(self.payments.lists.shows_all(all), "the list of lists"),
            Reply::ListChanged(told) => same(self.payments.lists.shows(&told.list), "a changed list"),
            Reply::ListedValue(told) => same(self.payments.lists.has(None, told, at), "a value of a list"),
            Reply::ListValues(Page { items, .. }) => {
                let known = items.iter().all(|told| self.payments.lists.has(None, told, at));
                same(known, "the values of a list")
            }
            Reply::Imports(all) => {
                let told = all.iter().map(|status| (status.import.id, status.state));
                let known = books.imports.iter().map(|import| (import.import.id, import.state));
                same(told.eq(known), "the list of imports")
            }
            Reply::Accounts(all) => {
                let known = all.iter().all(|account| books.account(account.id) == Some(*account));
                same(known, "an account that was looked up")
            }
            Reply::Transfers(all) => same(all.iter().all(|told| is_looked_up(books, at, told)), "a transfer"),
            Reply::AccountsPage(Page { items, .. }) => {
                items.iter().try_for_each(|account| shows_account(books, account))
            }
            Reply::Scheduled(Page { items, .. }) => {
                same(items.iter().all(|one| books.scheduled.contains(one)), "the list of scheduled transfers")
            }
            Reply::Pending(Page { items, .. }) => {
                let waits = |told: &Transfer| {
                    let made = books.transfers.get(&told.key);
                    made.is_some_and(|made| made.transfer == *told && made.resolved.is_none())
                };
                same(items.iter().all(waits), "the list of pending transfers")
            }
            Reply::TransferIds(Page { items, .. }) => {
                let known = items.iter().all(|id| books.transfers.contains_key(&TransferKey::Client(*id)));
                same(known, "a transfer that was found")
            }
            Reply::AccountsOpened(..)
            | Reply::PendingStates(_)
            // These replies are compared with the request event by event, or contain nothing more to check.
            | Reply::Sums(_)
            | Reply::AccountOrders(_)
            | Reply::TransferOrders(_)
            | Reply::PaymentsMade(_)
            | Reply::AccountResults(_)
            | Reply::TransferResults(_)
            | Reply::Made(_)
            | Reply::Principals(_)
            | Reply::Features(_) => Ok(()),
        }
    }
}

/// The four sums in the answer, and the number of accounts they cover.
fn told_sums(totals: &ledger::TrialBalance) -> ([u128; 4], usize) {
    let told = [totals.debits_pending, totals.debits_posted, totals.credits_pending, totals.credits_posted];
    (told.map(Amount::get), totals.accounts)
}

/// A pending transfer reads as expired as soon as its timeout has passed, even before the entry that expires it.
fn is_looked_up(books: &Books, at: Timestamp, (transfer, state): &(Transfer, Option<PendingState>)) -> bool {
    let expected = books.state(transfer.key, at);
    books.transfers.get(&transfer.key).is_some_and(|made| made.transfer == *transfer)
        && (expected == *state || (expected, *state) == (Some(PendingState::Expired), Some(PendingState::Pending)))
}

/// Whether an address equals the prefix or continues after it with a colon.
fn is_below(address: &str, prefix: &str) -> bool {
    address == prefix || address.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(':'))
}

impl Turn<'_, '_> {
    /// A query leaves no entry. Its answer shows everything that the client asked for, and nothing else.
    pub(super) fn query(&mut self, query: &Query, answer: &Answer) -> Result<(), String> {
        let at = self.next_at();
        let model = &*self.model;
        let books = &model.books;
        let reply = match answer {
            Err(refusal) => return self.nothing_there(query, code(refusal)),
            Ok(reply) => reply,
        };
        model.shows(at, reply)?;
        let complete = match (query, reply) {
            (Query::Account(asked), Reply::Account(told)) => Some(told.account.id) == id_of(books, &asked.0),
            (Query::Transfer(asked), Reply::Transfer(AnyTransfer::Made(told))) => {
                told.transfer.key == TransferKey::Client(asked.0)
            }
            (Query::Transfer(asked), Reply::Transfer(AnyTransfer::Scheduled(told))) => {
                told.new.key == TransferKey::Client(asked.0)
            }
            (Query::Payment(asked), Reply::Payment(told)) => told.payment.id == asked.0,
            (Query::TrialBalance(asked), Reply::Sums((book, totals))) => {
                book.id == asked.0 && books.sums(|account| account.ledger == book.id) == told_sums(totals)
            }
            (Query::AddressSums(query::AddressSums(id, prefix)), Reply::Sums((book, totals))) => {
                let below = |account: &ledger::Account| {
                    let address = books.addresses.get(&account.id).map(String::as_str).unwrap_or_default();
                    account.ledger == book.id && is_below(address, prefix)
                };
                book.id == *id && books.sums(below) == told_sums(totals)
            }
            (Query::LookupAccounts(asked), Reply::Accounts(told)) => {
                let known = asked.0.iter().filter(|id| books.accounts.contains_key(id));
                known.copied().eq(told.iter().map(|account| account.id))
            }
            (Query::LookupTransfers(asked), Reply::Transfers(told)) => {
                let keys = asked.0.iter().map(|id| TransferKey::Client(*id));
                keys.filter(|key| books.transfers.contains_key(key)).eq(told.iter().map(|(told, _)| told.key))
            }
            (
                Query::Accounts(query::Accounts { filter, after: None, limit }),
                Reply::AccountsPage(Page { items: accounts, .. }),
            ) => {
                let below = |id| {
                    filter
                        .address_prefix
                        .as_ref()
                        .is_none_or(|prefix| books.addresses.get(id).is_some_and(|address| is_below(address, prefix)))
                };
                let count = books.accounts.keys().filter(|id| below(id)).count();
                accounts.len() == count.min((*limit).min(PAGE_MAX))
            }
            (Query::Scheduled(asked), Reply::Scheduled(told)) => {
                told.items.len() == books.scheduled.len().min(asked.limit.min(PAGE_MAX))
            }
            (Query::Pending(_), Reply::Pending(told)) => {
                let waits = |made: &&super::books::Made| {
                    made.transfer.is_pending()
                        && made.resolved.is_none()
                        && made.transfer.expires_at().is_none_or(|expiry| expiry > at)
                };
                told.next.is_some() || told.items.len() == books.transfers.values().filter(waits).count()
            }
            (Query::ApiKey(asked), Reply::Credential(told)) => told.credential.added.credential == asked.0,
            (Query::ApiKeys(asked), Reply::Credentials(told)) => {
                told.items.len() == model.identities.count_after(asked.after).min(asked.limit.min(PAGE_MAX))
            }
            (Query::NextCredential(_), Reply::NextCredential(_)) => true,
            (Query::ApprovalRules(_), Reply::ApprovalRules(_)) => true,
            (Query::Proposal(asked), Reply::Proposal(told)) => told.proposal.made.proposal == asked.0,
            (Query::Proposals(asked), Reply::Proposals(told)) => {
                let all = model.approvals.count(asked.status, at);
                asked.after != types::Seq::ZERO || told.items.len() == all.min(asked.limit.min(PAGE_MAX))
            }
            (Query::Setting(asked), Reply::Setting(told)) => (asked.kind, &asked.name) == (told.kind, &told.name),
            (Query::Settings(asked), Reply::Settings(told)) => {
                let count = model.settings.count_after(asked.kind, asked.after.as_ref());
                told.items.len() == count.min(asked.limit.min(PAGE_MAX))
            }
            (Query::Lists(_), Reply::Lists(_)) => true,
            (Query::List(asked), Reply::List(told)) => asked.0 == told.name,
            (Query::ListValues(asked), Reply::ListValues(told)) => {
                let lists = &model.payments.lists;
                let right = told.items.iter().all(|one| lists.has(Some(&asked.list), one, at));
                let all = lists.count(&asked.list).min(asked.limit.min(PAGE_MAX));
                right && (asked.after.is_some() || told.next.is_some() || told.items.len() == all)
            }
            (Query::ListedValue(asked), Reply::ListedValue(told)) => {
                asked.value == told.value && model.payments.lists.has(Some(&asked.list), told, at)
            }
            (Query::EntityAttributes(asked), Reply::EntityAttributes(told)) => {
                model.payments.attributes.shows_of(&asked.0, asked.1, told)
            }
            (Query::Import(asked), Reply::Import(told)) => told.import.id == asked.0,
            (Query::Ledgers(_), Reply::Ledgers(_))
            | (Query::Imports(_), Reply::Imports(_))
            | (Query::Policy(_), Reply::Policy(_))
            | (Query::TransfersByMetadata(_), Reply::TransferIds(_)) => true,
            (_, _) => false,
        };
        ensure(complete, "SIM-3", || "the answer is not to what was asked".to_owned())
    }

    /// Checks that what the answer reports as not found does not exist in the model.
    fn nothing_there(&self, query: &Query, code: &str) -> Result<(), String> {
        let books = &self.model.books;
        let missing = match query {
            Query::Account(asked) => id_of(books, &asked.0).is_none(),
            Query::Transfer(asked) => {
                let key = TransferKey::Client(asked.0);
                let waits = books.scheduled.iter().any(|one| one.new.key == key);
                !waits && !books.transfers.contains_key(&key)
            }
            Query::Payment(asked) => !self.model.payments.is_known(asked.0),
            Query::TrialBalance(query::TrialBalance(id))
            | Query::AddressSums(query::AddressSums(id, _))
            | Query::AccountsOpened(query::AccountsOpened(id, _)) => !books.books.contains_key(id),
            Query::Import(asked) => books.import_of(asked.0).is_none(),
            Query::ApiKey(asked) => !self.model.identities.knows(asked.0),
            Query::Proposal(asked) => !self.model.approvals.is_known(asked.0),
            Query::Setting(asked) => !self.model.settings.knows(asked.kind, &asked.name),
            Query::Policy(_) => self.model.payments.active.is_none(),
            Query::List(asked) => !self.model.payments.lists.knows(&asked.0),
            Query::ListValues(asked) => !self.model.payments.lists.knows(&asked.list),
            Query::ListedValue(asked) => !self.model.payments.lists.has_value(&asked.list, &asked.of, &asked.value),
            _ => false,
        };
        ensure(missing, "SIM-3", || format!("{query:?} is refused as {code}, and it is there"))
    }
}

fn id_of(books: &Books, name: &AccountName) -> Option<types::AccountId> {
    match name {
        AccountName::Id(id) => books.account(*id).map(|account| account.id),
        AccountName::Address(address) => books.at_address(address.as_str()),
    }
}
