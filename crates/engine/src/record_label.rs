//! Recording what a payment turned out to be.

use features::{Change, Update};
use types::{Name, PaymentId};

use crate::entry::{Fact, LabelRecorded};
use crate::{Decided, Engine, Made, Refusal};

impl Engine {
    /// A label counts from its own entry on. Recording the one that stands is no change; another one replaces it.
    pub(crate) fn record_label(&self, id: PaymentId, label: &Name) -> Decided {
        let Some(payment) = self.state.payments.get(&id) else {
            return Decided::Answer(Err(Refusal::PaymentNotFound(id)));
        };
        if payment.label.as_ref().is_some_and(|known| known.name == *label) {
            return Decided::Answer(self.label_reply(Made::Before, id));
        }
        let Some(policy) = &self.policy else { return Decided::Answer(Err(Refusal::NoActivePolicy)) };
        let positive = policy.is_positive_label(label.as_str());
        let known_positive = payment.label.as_ref().is_some_and(|known| known.positive);
        let update = |record: &crate::payment::Recorded| Update {
            stream: record.stream,
            entity: record.entity,
            at: record.at,
            seq: payment.seq,
            change: Change::Label { positive },
        };
        let updates =
            if positive == known_positive { Vec::new() } else { payment.records.iter().map(update).collect() };
        Decided::record(Fact::LabelRecorded(LabelRecorded { payment: id, label: label.clone(), positive, updates }))
    }
}
