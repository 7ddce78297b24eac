//! What happens when its time comes, without a request: deadlines of payments, expiry of pending transfers, scheduled
//! transfers.

use types::{ActorId, PaymentId, RequestId, Timestamp};

use crate::decide::Recording;
use crate::entry::Fact;
use crate::{Engine, Sink};

/// Something that happens when its time comes.
enum Due {
    /// The deadline of a payment.
    Deadline(PaymentId),
    /// The expiry of a pending transfer.
    Timeout,
    /// The time of a scheduled transfer.
    Scheduled,
}

impl Engine {
    /// Makes the entry of the next thing that is due at `now`. Returns false if nothing is due; callers repeat the call
    /// until then.
    pub fn execute_due(&mut self, now: Timestamp, sink: &mut dyn Sink) -> bool {
        self.journal_digest(now, sink);
        let at = self.next_instant(now);
        let deadline = self.state.deadlines.first().map(|(due, payment)| (*due, Due::Deadline(*payment)));
        let timeout = self.state.ledger.next_due().map(|due| (due, Due::Timeout));
        let scheduled = self.state.ledger.next_scheduled().map(|due| (due, Due::Scheduled));
        // The earliest comes first. Of those due at the same time, scheduled transfers come last, so that they can use
        // what the others release.
        let first = [deadline, timeout, scheduled].into_iter().flatten().min_by_key(|(due, _)| *due);
        let fact = match first.filter(|(due, _)| *due <= at) {
            Some((_, Due::Deadline(payment))) => Fact::PaymentChanged(self.pass_deadline(at, payment)),
            Some((_, Due::Timeout)) => {
                let expired = self.state.ledger.due(at, 1).pop().expect("a transfer is due at this time");
                Fact::Ledger(ledger::Fact::TransferExpired(expired))
            }
            Some((_, Due::Scheduled)) => {
                let id = self.state.ledger.due_scheduled(at, 1).pop().expect("a transfer is due at this time");
                let planned = self.state.ledger.plan_due_scheduled(at, id);
                Fact::Ledger(planned.fact.expect("LED-4: a scheduled transfer is created or fails"))
            }
            None => return false,
        };
        self.commit(now, ActorId::SYSTEM, RequestId::default(), Recording::of(fact), sink);
        self.journal_digest(now, sink);
        true
    }

    /// When the next thing is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        let deadline = self.state.deadlines.first().map(|(due, _)| *due);
        let ledger = &self.state.ledger;
        deadline.into_iter().chain(ledger.next_due()).chain(ledger.next_scheduled()).min()
    }
}
