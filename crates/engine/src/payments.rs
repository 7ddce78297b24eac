//! The payments in memory: those that are open, and those that changed recently. The others are read from their entries when
//! somebody asks about them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ledger::MetadataOf;
use types::{PaymentId, Seq, Timestamp};

use crate::entry::{Entry, Fact, Incremented, PaymentDecided};
use crate::payment::Payment;
use crate::reply::PaymentReply;

/// A payment that is not in memory, as its entries left it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastPayment {
    pub payment: Payment,
    pub decided: Arc<PaymentDecided>,
    /// The decisions about its increments, in order.
    pub increments: Vec<Arc<Incremented>>,
    /// Its metadata, as JSON texts by key.
    pub metadata: BTreeMap<String, String>,
}

impl PastPayment {
    /// The payment that `decided` decided. `None` if that entry is about something else.
    pub fn new(decided: &Entry) -> Option<Self> {
        let Fact::PaymentDecided(fact) = &decided.fact else { return None };
        let payment = Payment::new(&decided.header, fact);
        Some(Self { payment, decided: Arc::clone(fact), increments: Vec::new(), metadata: BTreeMap::new() })
    }

    /// The answer to a query for it at `now`. A deadline that has passed counts, even if the entry about it is not written yet.
    pub fn reply(self, now: Timestamp) -> PaymentReply {
        let Self { payment, decided, increments, metadata } = self;
        PaymentReply { payment: Arc::new(payment.as_of(now)), decided: Some(decided), increments, metadata }
    }

    /// Follows an entry that changed the payment. Returns false if the entry is not about it.
    pub fn follow(&mut self, entry: &Entry) -> bool {
        let (header, id) = (&entry.header, self.payment.id);
        match &entry.fact {
            Fact::PaymentChanged(changed) if changed.payment == id => {
                self.payment.change(header, changed);
                self.increments.extend(changed.increment.clone());
            }
            Fact::LabelRecorded(recorded) if recorded.payment == id => self.payment.label(header, recorded),
            Fact::Ledger(ledger::Fact::MetadataSet { of: MetadataOf::Payment(of), values }) if *of == id => {
                ledger::change_metadata(&mut self.metadata, values);
                self.payment.changed_seq = header.seq;
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::PaymentDecided(_)
            | Fact::PaymentChanged(_)
            | Fact::LabelRecorded(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::StateDigest(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_) => return false,
        }
        true
    }
}

/// The payments that an [`Engine`](crate::Engine) no longer keeps in memory. It must find everything that the engine was told
/// to forget, and may find more. It panics if it cannot read; the caller of the engine then stops it.
pub trait PastPayments: Send + fmt::Debug {
    /// The payment with this id, after all of its entries that the engine may forget.
    fn find(&self, id: PaymentId) -> Option<PastPayment>;
}

/// The past of an engine that has forgotten nothing.
#[derive(Debug)]
struct NoPast;

impl PastPayments for NoPast {
    fn find(&self, _id: PaymentId) -> Option<PastPayment> {
        None
    }
}

/// The payments in memory.
#[derive(Debug)]
pub(crate) struct Payments {
    known: HashMap<PaymentId, Arc<Payment>, RandomState>,
    /// Payments that are not open, each with an entry about it. It leaves memory after its last one.
    closed: VecDeque<(Seq, PaymentId)>,
    /// The past contains everything up to this entry.
    covered: Seq,
    past: Box<dyn PastPayments>,
}

impl Default for Payments {
    fn default() -> Self {
        Self { known: HashMap::default(), closed: VecDeque::new(), covered: Seq::ZERO, past: Box::new(NoPast) }
    }
}

impl Payments {
    pub(crate) fn set_past(&mut self, past: Box<dyn PastPayments>) {
        self.past = past;
    }

    /// The number of payments in memory.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The entries that decided those that are open, in no order.
    pub(crate) fn open(&self) -> impl Iterator<Item = Seq> {
        self.known.values().filter(|payment| payment.is_open()).map(|payment| payment.seq)
    }

    pub(crate) fn get(&self, id: PaymentId) -> Option<&Payment> {
        self.known.get(&id).map(|payment| &**payment)
    }

    /// The payment as it is at `at`.
    pub(crate) fn as_of(&self, id: PaymentId, at: Timestamp) -> Option<Arc<Payment>> {
        let payment = self.known.get(&id)?;
        Some(if payment.status_at(at) == payment.status { Arc::clone(payment) } else { Arc::new(payment.as_of(at)) })
    }

    pub(crate) fn get_mut(&mut self, id: PaymentId) -> Option<&mut Payment> {
        self.known.get_mut(&id).map(Arc::make_mut)
    }

    /// Adds a payment. Returns false if it is there already.
    pub(crate) fn add(&mut self, payment: Payment) -> bool {
        let id = payment.id;
        let is_new = self.known.insert(id, Arc::new(payment)).is_none();
        self.note(id);
        is_new
    }

    /// Notes that a payment was changed.
    pub(crate) fn note(&mut self, id: PaymentId) {
        if let Some(payment) = self.known.get(&id).filter(|payment| !payment.is_open()) {
            self.closed.push_back((payment.changed_seq, id));
        }
    }

    /// Looks a payment up in the past, if it is not in memory.
    pub(crate) fn find_past(&self, id: PaymentId) -> Option<PastPayment> {
        if self.known.contains_key(&id) || self.covered == Seq::ZERO { None } else { self.past.find(id) }
    }

    /// Takes the payments out of memory that are not open and have not changed since `covered`, and passes each to `forgotten`.
    pub(crate) fn forget_through(&mut self, covered: Seq, mut forgotten: impl FnMut(&Payment)) {
        self.covered = covered;
        while let Some((_, id)) = self.closed.pop_front_if(|(seq, _)| *seq <= covered) {
            if let Some(payment) = self.forget(id) {
                forgotten(&payment);
            }
        }
    }

    /// Takes a payment out of memory, if the past has all of it and it is not open.
    pub(crate) fn forget(&mut self, id: PaymentId) -> Option<Arc<Payment>> {
        let payment = self.known.get(&id)?;
        if payment.is_open() || payment.changed_seq > self.covered {
            return None;
        }
        self.known.remove(&id)
    }
}
