//! Recording what a payment turned out to be.

use features::{RecordChange, Update};
use types::{Name, PaymentId, RequestId, Timestamp};

use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact, LabelRecorded};
use crate::guard::Guarding;
use crate::{Answered, Engine, Made, Refusal};

/// Record what a payment turned out to be.
#[derive(Debug, Clone)]
pub struct RecordLabel {
    pub payment: PaymentId,
    pub label: Name,
}

impl Decide for RecordLabel {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    /// A label counts from its own entry onwards. Recording the same label again changes nothing; another label
    /// replaces it.
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self { payment: id, label } = self;
        let payment = engine.state.payments.get(*id).ok_or(Refusal::PaymentNotFound(*id))?;
        if payment.label.as_ref().is_some_and(|known| known.name == *label) {
            return Ok(Decided::Before((Made::Before, engine.label_reply(*id)?)));
        }
        let policy = engine.policy.as_ref().ok_or(Refusal::NoActivePolicy)?;
        let positive = policy.is_positive_label(label.as_str());
        let known_positive = payment.label.as_ref().is_some_and(|known| known.positive);
        let update = |record: &crate::payment::Recorded| Update {
            stream: record.stream,
            entity: record.entity,
            at: record.at,
            seq: payment.seq,
            change: RecordChange::Label { positive },
        };
        let updates =
            if positive == known_positive { Vec::new() } else { payment.records.iter().map(update).collect() };
        let recorded = LabelRecorded { payment: *id, label: label.clone(), positive, updates };
        Ok(Decided::Now(Recording::of(Fact::LabelRecorded(recorded))))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, engine.label_reply(self.payment)?))
    }
}

impl Guarding for RecordLabel {
    fn view(&self, engine: &Engine, _: Timestamp) -> Option<Answered<Self>> {
        Some(engine.label_reply(self.payment).map(|reply| (Made::Before, reply)))
    }

    fn version(&self, engine: &Engine, _: Timestamp) -> Result<Option<u64>, Refusal> {
        engine.payment_version(self.payment).map(Some)
    }
}
