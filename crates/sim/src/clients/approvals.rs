//! Requests about four eyes: rules, proposals and their ends, by two principals.

use api::Operation as O;
use engine::ProposalEnd;
use serde_json::{Value, json};
use types::{ActorId, CredentialId, Timestamp};

use super::orders::Form;
use super::{Clients, FIRST_KEY, account_name, http};
use crate::Rng;
use crate::edge::Http;

impl Clients {
    pub(super) fn proposal(&mut self, now: Timestamp, rng: &mut Rng) -> Http {
        let known = !self.proposals.is_empty() && rng.percent(8);
        let id = if known { self.some_proposal(rng) } else { Self::fresh(rng) };
        self.proposals.push(id);
        let mut body = match rng.below(10) {
            0..=4 => {
                let form = *rng.pick(&[Form::Plain, Form::Plain, Form::Pending, Form::Resolution, Form::Balancing]);
                let mut transfer = self.transfer(form, now, rng);
                if let Some(fields) = transfer.as_object_mut() {
                    fields.remove("metadata");
                    if rng.percent(50) && fields.contains_key("credit_account") {
                        // Only payments and approved transfers move money on this account.
                        fields.insert("credit_account".to_owned(), json!("7"));
                    }
                    if rng.percent(20) {
                        fields.remove("id");
                    }
                }
                json!({ "transfer": transfer })
            }
            5..=6 => {
                let floor = (i64::try_from(rng.below(4_000)).unwrap_or(0) - 3_000).to_string();
                json!({"set_limits": {"account": account_name(rng), "min_balance": floor}})
            }
            7 => json!({"reverse": {"transfer": self.some_transfer(rng).to_string()}}),
            8 => json!({"open_import": {"import": self.some_import(rng).to_string()}}),
            _ => json!({ "approval_rules": rules(rng) }),
        };
        body["id"] = json!(id.to_string());
        body["expires_in_s"] = json!(rng.pick(&[1, 30, 30, 3_600]));
        if rng.percent(30) {
            body["reason"] = json!("simulated");
        }
        by_one_of_two(http(O::CreateProposal, String::new(), "", &body), rng)
    }

    pub(super) fn end_of_proposal(&self, rng: &mut Rng) -> Http {
        let end = *rng.pick(&[
            ProposalEnd::Approved,
            ProposalEnd::Approved,
            ProposalEnd::Approved,
            ProposalEnd::Rejected,
            ProposalEnd::Withdrawn,
        ]);
        let id = self.some_proposal(rng);
        let sent = by_one_of_two(http(O::EndProposal(end), id.to_string(), "", &Value::Null), rng);
        // Some keys do not exist, and others end before the request is decided.
        let other = u64::try_from(id % 30).map_or(FIRST_KEY, |number| CredentialId::new(number + 1));
        Http { credential: if id.is_multiple_of(8) { other } else { FIRST_KEY }, ..sent }
    }

    pub(super) fn lists_of_proposals(&self, rng: &mut Rng) -> Http {
        let query = rng.pick::<&str>(&["", "status=open", "limit=3"]);
        match rng.below(2) {
            0 => http(O::ListProposals, String::new(), query, &Value::Null),
            _ => http(O::GetProposal, self.some_proposal(rng).to_string(), "", &Value::Null),
        }
    }

    /// Usually one of the latest proposals.
    fn some_proposal(&self, rng: &mut Rng) -> u128 {
        let recent = self.proposals.len().min(if rng.percent(85) { 4 } else { 1_000 });
        if recent == 0 { 1 } else { self.proposals[self.proposals.len() - 1 - rng.place(recent)] }
    }
}

/// Sets the rules, or reads them.
pub(super) fn rules_of_tenant(rng: &mut Rng) -> Http {
    if rng.percent(30) {
        return http(O::GetApprovalRules, String::new(), "", &Value::Null);
    }
    by_one_of_two(http(O::SetApprovalRules, String::new(), "", &rules(rng)), rng)
}

/// Rules that mostly demand little, so that direct requests go on.
fn rules(rng: &mut Rng) -> Value {
    let demand = |rng: &mut Rng| if rng.percent(15) { "approval" } else { "direct" };
    let mut rules = json!({"limits": demand(rng), "imports": demand(rng)});
    if rng.percent(60) {
        rules["reversals_above"] = json!({"USD/2": rng.pick(&["900", "500", "0"])});
    }
    rules
}

fn by_one_of_two(sent: Http, rng: &mut Rng) -> Http {
    Http { actor: ActorId::new(1 + rng.below(2)), ..sent }
}
