//! Dry runs: the answer that an operation would get now, without an entry.

use std::sync::Arc;

use types::{PaymentId, Timestamp};

use crate::command::Foresee;
use crate::decide::Decided;
use crate::entry::PaymentChanged;
use crate::payment::Payment;
use crate::take_orders::foresee;
use crate::{
    Answered, ChangePayment, CreatePayment, CreateTransfer, CreateTransferBatch, Engine, IncrementPayment, Made,
    OpenAccount, OpenAccountBatch, PaymentReply, Request, ReverseTransfer,
};

/// Operations that are judged on a plan. A batch is judged as a whole: each order sees the effects of the orders before
/// it.
macro_rules! foresee_on_a_plan {
    ($($operation:ty),*) => {
        $(impl Foresee for $operation {
            fn foresee(&self, engine: &Engine, at: Timestamp, _: &Request) -> Answered<Self> {
                foresee(self, engine, at)
            }
        })*
    };
}

foresee_on_a_plan!(OpenAccount, OpenAccountBatch, CreateTransfer, CreateTransferBatch, ReverseTransfer);

impl Foresee for CreatePayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.0.payment)
    }

    fn foresee(&self, engine: &Engine, at: Timestamp, request: &Request) -> Answered<Self> {
        match engine.decide_payment(at, &self.0)? {
            Decided::Before(reply) => Ok((Made::Before, reply)),
            Decided::Now(decided) => {
                let header = engine.next_header(at, request.actor, request.id, self.0.occurred_at);
                let (payment, decided) = (Arc::new(Payment::new(&header, &decided)), Some(decided));
                let metadata = engine.payment_metadata(payment.id);
                Ok((Made::Now, Box::new(PaymentReply { payment, decided, increments: Vec::new(), metadata })))
            }
        }
    }
}

impl Foresee for ChangePayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn foresee(&self, engine: &Engine, at: Timestamp, request: &Request) -> Answered<Self> {
        Ok(engine.foresee_change(at, request, engine.decide_change(at, request.id, self)?))
    }
}

impl Foresee for IncrementPayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn foresee(&self, engine: &Engine, at: Timestamp, request: &Request) -> Answered<Self> {
        Ok(engine.foresee_change(at, request, engine.decide_increment(at, request.id, self)?))
    }
}

impl Engine {
    /// The answer to a verb that would change a payment so.
    fn foresee_change(
        &self,
        at: Timestamp,
        request: &Request,
        change: Decided<Box<PaymentReply>, PaymentChanged>,
    ) -> (Made, Box<PaymentReply>) {
        match change {
            Decided::Before(reply) => (Made::Before, reply),
            Decided::Now(changed) => {
                let header = self.next_header(at, request.actor, request.id, None);
                let payment = self.state.payments.get(changed.payment);
                let mut payment = payment.expect("ENG-5: only a decided payment changes").clone();
                payment.change(&header, &changed);
                let metadata = self.payment_metadata(payment.id);
                let increments = changed.increment.into_iter().collect();
                let payment = Arc::new(payment);
                (Made::Now, Box::new(PaymentReply { payment, decided: None, increments, metadata }))
            }
        }
    }
}
