//! Batches of the ledger: every event is judged, recorded and answered on its own, and sees those before it.

use ledger::{NewAccount, NewTransfer, TransferStatus};
use types::Timestamp;

use crate::entry::Fact;
use crate::reply::{EventResult, EventStatus};
use crate::{Answer, Engine, Recording, Reply, Request, Sink};

impl Engine {
    pub(crate) fn create_accounts(
        &mut self,
        now: Timestamp,
        request: &Request,
        events: &[NewAccount],
        sink: &mut dyn Sink,
    ) -> Answer {
        let mut results = Vec::with_capacity(events.len());
        for new in events {
            let at = self.next_instant(now);
            let planned = self.state.ledger.plan_account(at, new);
            self.commit_event(now, request, planned.fact, sink);
            results.push(EventResult::new(planned.outcome, at));
        }
        Ok(Reply::AccountResults(results))
    }

    pub(crate) fn create_transfers(
        &mut self,
        now: Timestamp,
        request: &Request,
        events: &[NewTransfer],
        with_balances: bool,
        sink: &mut dyn Sink,
    ) -> Answer {
        let mut results = Vec::with_capacity(events.len());
        let mut balances = Vec::with_capacity(if with_balances { events.len() } else { 0 });
        for new in events {
            let at = self.next_instant(now);
            let planned = self.state.ledger.plan_transfer(at, new);
            self.commit_event(now, request, planned.fact, sink);
            let result = EventResult::new(planned.outcome, at);
            if with_balances {
                balances.push(self.balances_after(new, &result));
            }
            results.push(result);
        }
        Ok(Reply::TransferResults { results, balances })
    }

    fn commit_event(&mut self, now: Timestamp, request: &Request, fact: Option<ledger::Fact>, sink: &mut dyn Sink) {
        if let Some(fact) = fact {
            self.commit(now, request.actor, request.id, Recording::of(Fact::Ledger(fact)), sink);
            self.journal_digest(now, sink);
        }
    }

    /// Both accounts of a transfer that exists now, debit account first.
    fn balances_after(&self, new: &NewTransfer, result: &EventResult<TransferStatus>) -> Option<[ledger::Account; 2]> {
        match result.status {
            EventStatus::Created | EventStatus::Exists => {
                let transfer = self.state.ledger.transfer(new.key)?;
                let account = |id| self.state.ledger.account(id).copied();
                Some([account(transfer.debit)?, account(transfer.credit)?])
            }
            EventStatus::Refused(_) => None,
        }
    }
}
