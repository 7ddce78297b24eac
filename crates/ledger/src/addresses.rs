//! Readable names of accounts, and the sums over all accounts below a prefix of such names.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use foldhash::fast::RandomState;
use types::LedgerId;

use crate::totals::Totals;
use crate::{Account, AccountPlace, TrialBalance};

/// A readable name of an account, unique across all books, such as `customers:c42:wallet`. It has 1 to 16 segments
/// separated by colons, each of 1 to 64 characters of `A-Z a-z 0-9 _ . -`, and at most 255 bytes in total.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Box<str>);

/// The string is not a valid [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address has 1 to 16 segments separated by colons, each of 1 to 64 of A-Z a-z 0-9 _ . -, at most 255 bytes in all"
)]
pub struct AddressParseError;

impl Address {
    /// Length of the longest address, in bytes.
    pub const BYTES_MAX: usize = 255;
    const SEGMENTS_MAX: usize = 16;
    const SEGMENT_BYTES_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_segment =
            |segment: &str| (1..=Self::SEGMENT_BYTES_MAX).contains(&segment.len()) && segment.bytes().all(is_known);
        let fits = text.len() <= Self::BYTES_MAX && text.split(':').count() <= Self::SEGMENTS_MAX;
        if fits && text.split(':').all(is_segment) { Ok(Self(text.into())) } else { Err(AddressParseError) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The addresses of accounts, and for every prefix that ends at a colon the sums of the accounts below it.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    places: BTreeMap<Address, AccountPlace>,
    /// Position in `nodes` of the node for an account's whole address.
    leaves: HashMap<AccountPlace, usize, RandomState>,
    nodes: Vec<Node>,
    /// Positions in `nodes` by book and prefix.
    found: HashMap<(LedgerId, Box<str>), usize, RandomState>,
}

/// A prefix of addresses in one book, with the sums of the accounts below it.
#[derive(Debug)]
struct Node {
    prefix: Box<str>,
    parent: Option<usize>,
    totals: Totals,
    accounts: usize,
}

impl Addresses {
    pub(crate) fn place(&self, address: &str) -> Option<AccountPlace> {
        let address = Address(address.into());
        self.places.get(&address).copied()
    }

    pub(crate) fn of(&self, place: AccountPlace) -> Option<&str> {
        let leaf = self.leaves.get(&place).and_then(|&leaf| self.nodes.get(leaf));
        leaf.map(|node| &*node.prefix)
    }

    /// Gives the account at `place` its address. Returns false if the address is taken or the account already has one.
    pub(crate) fn set(&mut self, place: AccountPlace, account: &Account, address: &Address) -> bool {
        if self.leaves.contains_key(&place) || self.places.insert(address.clone(), place).is_some() {
            return false;
        }
        let ends = address.0.match_indices(':').map(|(end, _)| end).chain([address.0.len()]);
        let prefixes = ends.filter_map(|end| address.0.get(..end));
        let leaf = prefixes.fold(None, |parent, prefix| Some(self.node(account.ledger, prefix, parent)));
        self.leaves.extend(leaf.map(|leaf| (place, leaf)));
        self.each_above(place, |node| {
            node.totals.replace(&account.emptied(), account);
            node.accounts = node.accounts.saturating_add(1);
        });
        true
    }

    fn node(&mut self, ledger: LedgerId, prefix: &str, parent: Option<usize>) -> usize {
        let Self { nodes, found, .. } = self;
        *found.entry((ledger, prefix.into())).or_insert_with(|| {
            nodes.push(Node { prefix: prefix.into(), parent, totals: Totals::default(), accounts: 0 });
            nodes.len().saturating_sub(1)
        })
    }

    /// Updates the sums after the account at `place` changed.
    pub(crate) fn replace(&mut self, place: AccountPlace, old: &Account, new: &Account) {
        if !self.leaves.is_empty() {
            self.each_above(place, |node| node.totals.replace(old, new));
        }
    }

    fn each_above(&mut self, place: AccountPlace, mut change: impl FnMut(&mut Node)) {
        let mut next = self.leaves.get(&place).copied();
        while let Some(node) = next.and_then(|number| self.nodes.get_mut(number)) {
            change(node);
            next = node.parent;
        }
    }

    pub(crate) fn sums(&self, ledger: LedgerId, prefix: &str) -> Option<TrialBalance> {
        let node = self.nodes.get(*self.found.get(&(ledger, prefix.into()))?)?;
        Some(node.totals.trial_balance(node.accounts))
    }

    /// Returns up to `limit` places of accounts whose address is `prefix` or continues it with a colon, in order of
    /// address and starting after `after`.
    pub(crate) fn below(&self, prefix: &str, after: Option<&Address>, limit: usize) -> Vec<AccountPlace> {
        // Some characters sort before the colon, so other addresses can stand between a prefix and the addresses below
        // it.
        let inside = Address(if prefix.is_empty() { "".into() } else { format!("{prefix}:").into() });
        let is_later = |address: &Address| after.is_none_or(|after| address > after);
        let itself = self.places.get_key_value(&Address(prefix.into())).filter(|(address, _)| is_later(address));
        let start = match after {
            Some(after) if *after >= inside => Bound::Excluded(after),
            Some(_) | None => Bound::Included(&inside),
        };
        let below = self.places.range::<Address, _>((start, Bound::Unbounded));
        let below = below.take_while(|(address, _)| address.0.starts_with(&*inside.0));
        itself.into_iter().chain(below).take(limit).map(|(_, place)| *place).collect()
    }
}
