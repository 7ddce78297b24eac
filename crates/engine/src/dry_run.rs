//! Dry runs: what a command would be answered now, without an entry.

use types::Timestamp;

use crate::entry::Fact;
use crate::payment::Payment;
use crate::reverse_transfer::judge_reversal;
use crate::take_orders::{judge_all, judge_alone};
use crate::{Answer, Command, Decided, Engine, Made, PaymentReply, Recording, Reply, Request};

impl Engine {
    /// What `command` would be answered as of `now`. A batch is judged as a whole: each order after those before it.
    pub(crate) fn dry_run(&self, now: Timestamp, request: &Request, command: &Command) -> Answer {
        let at = self.next_instant(now);
        let plan = || self.state.ledger.plan(at);
        match command {
            Command::OpenAccount(order) => judge_alone(&mut plan(), &**order, at).map(Reply::from),
            Command::CreateTransfer(order) => judge_alone(&mut plan(), &**order, at).map(Reply::from),
            Command::ReverseTransfer(id) => judge_reversal(&mut plan(), *id).map(Reply::from),
            Command::Batch(orders) => Ok(Reply::Batch(judge_all(&mut plan(), orders, at))),
            Command::CreatePayment(_) | Command::ChangePayment { .. } => match self.decide(at, request.id, command) {
                Decided::Answer(answer) => answer,
                Decided::Record(recording) => self.foreseen(now, request, *recording),
            },
            Command::OpenLedger { .. }
            | Command::CreateAccounts(_)
            | Command::CreateTransfers { .. }
            | Command::RecordLabel { .. }
            | Command::StoreArtifact(_)
            | Command::ActivatePolicy { .. }
            | Command::Identity(_)
            | Command::Import(_)
            | Command::Change(_)
            | Command::DryRun(_)
            | Command::Query(_) => unreachable!("ENG-17: a dry run is of orders and payments"),
        }
    }

    /// The answer that the recording would bring.
    fn foreseen(&self, now: Timestamp, request: &Request, recording: Recording) -> Answer {
        let header = self.next_header(now, request.actor, request.id, recording.occurred_at);
        let (payment, decided) = match recording.fact {
            Fact::PaymentDecided(decided) => (Payment::new(&header, &decided), Some(decided)),
            Fact::PaymentChanged(changed) => {
                let payment = self.state.payments.get(&changed.payment);
                let mut payment = payment.expect("ENG-5: only a decided payment changes").clone();
                payment.change(&header, &changed);
                (payment, None)
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::LabelRecorded(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::StateDigest(_) => unreachable!("ENG-17: a dry run is of orders and payments"),
        };
        let metadata = self.payment_metadata(payment.id);
        Ok(Reply::Payment(Made::Now, Box::new(PaymentReply { payment, decided, metadata })))
    }
}
