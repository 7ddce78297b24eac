//! Reads of personal data. They change nothing, and leave an entry, so that the journal says who saw what.

use types::{Name, PaymentId, RequestId, Timestamp};

use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact};
use crate::{Answered, Engine, Made, Refusal};

/// Somebody was shown personal data of a payment. As a command: records this. The data may be shown once the answer is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalDataRead {
    /// The payment, which was decided before.
    pub payment: PaymentId,
    /// The attributes that were shown. If it names none, all personal attributes and entities were.
    pub attributes: Box<[Name]>,
}

impl Decide for PersonalDataRead {
    fn decide(&self, _: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        Ok(Decided::Now(Recording::of(Fact::PersonalDataRead(self.clone()))))
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}
