//! While nothing may be written: what can be answered from the state is, everything else is refused.

use std::sync::Arc;

use types::Timestamp;

use crate::reverse_transfer::judge_reversal;
use crate::take_orders::{judge_all, judge_alone};
use crate::{Answer, Command, Decided, Engine, Refusal, Reply, Request};

/// Why nothing is written at the moment. It passes by itself or by what an operator does, and a request that is refused
/// for it left no trace: it can be sent again as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WritesClosed {
    /// Bytes of the journal are not what was written.
    #[error("nothing is written since damage was found: {0}")]
    JournalDamaged(Arc<str>),
    /// The disk has less room left than is kept free.
    #[error(
        "{directory} has {free_bytes} bytes free, fewer than the reserve of {reserve_bytes}; nothing is written until there are more"
    )]
    DiskReserveReached {
        /// The directory whose disk it is.
        directory: Arc<str>,
        /// What is left.
        free_bytes: u64,
        /// What is kept free.
        reserve_bytes: u64,
    },
    /// The wall clock is ahead of what can be believed.
    #[error(
        "the clock says {wall}, but {since} and the time that passed since make it {expected}; nothing is written until the clock comes back or an operator confirms it"
    )]
    ClockNotBelieved {
        /// What the wall clock says.
        wall: Timestamp,
        /// What it should say.
        expected: Timestamp,
        /// What that rests on, in a few words.
        since: &'static str,
    },
}

impl Engine {
    /// As [`Engine::execute`] while nothing may be written. Queries and dry runs are answered, and so is whatever would
    /// leave no entry, such as an order or a payment that was taken before; anything else is refused and leaves none
    /// either. Batches of records and imports are refused as a whole.
    pub fn answer_closed(&self, now: Timestamp, request: &Request, closed: &WritesClosed) -> Answer {
        let at = self.next_instant(now);
        let refused = || Err(Refusal::WritesClosed(closed.clone()));
        let mut plan = self.state.ledger.plan(at);
        let answer = match &request.command {
            Command::Query(query) => return self.query(at, query),
            Command::DryRun(command) => return self.dry_run(now, request, command),
            Command::OpenAccount(order) => judge_alone(&mut plan, &**order, at).map(Reply::from),
            Command::CreateTransfer(order) => judge_alone(&mut plan, &**order, at).map(Reply::from),
            Command::ReverseTransfer(id) => judge_reversal(&mut plan, *id).map(Reply::from),
            Command::Batch(orders) => Ok(Reply::Batch(judge_all(&mut plan, orders, at))),
            Command::CreateAccounts(_) | Command::CreateTransfers { .. } | Command::Change(_) | Command::Import(_) => {
                return refused();
            }
            command @ (Command::OpenLedger { .. }
            | Command::CreatePayment(_)
            | Command::ChangePayment { .. }
            | Command::RecordLabel { .. }
            | Command::StoreArtifact(_)
            | Command::ActivatePolicy { .. }
            | Command::Identity(_)) => {
                return match self.decide(at, request.id, command) {
                    Decided::Answer(answer) => answer,
                    Decided::Record(_) => refused(),
                };
            }
        };
        if plan.into_facts().is_empty() { answer } else { refused() }
    }
}
