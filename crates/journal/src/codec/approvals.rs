//! Encodes the facts of four eyes: rules, and proposals with the operations that they propose.

use std::collections::BTreeMap;

use engine::{ApprovalFact, ApprovalRules, Demand, Header, ProposalEnd, ProposalEnded, ProposalMade, Proposed};
use ledger::TransferKey;
use types::{AccountId, Amount, Asset, ImportId, ProposalId, Timestamp, TransferId};

use super::fact::{APPROVALS_SET, PROPOSAL_ENDED, PROPOSAL_MADE, decode_text};
use super::ledger_facts::{decode_transfer, encode_transfer};
use super::ledger_settings::{as_asked, asked_for, decode_limit, encode_limit};
use super::payment::Table;
use crate::bytes::{DecodeError, Decoder, Encoder};

const DEMANDS: Table<Demand> = Table { what: "demand", values: &Demand::ALL };
const ENDS: Table<ProposalEnd> = Table { what: "end of a proposal", values: &ProposalEnd::ALL };

const TRANSFER: u8 = 1;
const SET_LIMITS: u8 = 2;
const REVERSE: u8 = 3;
const OPEN_IMPORT: u8 = 4;
const SET_RULES: u8 = 5;

pub(super) const fn kind(fact: &ApprovalFact) -> (u16, &'static str) {
    match fact {
        ApprovalFact::RulesSet(_) => (APPROVALS_SET, "approvals_set"),
        ApprovalFact::ProposalMade(_) => (PROPOSAL_MADE, "proposal_made"),
        ApprovalFact::ProposalEnded(_) => (PROPOSAL_ENDED, "proposal_ended"),
    }
}

pub(super) fn encode(header: &Header, fact: &ApprovalFact, into: &mut Encoder) {
    match fact {
        ApprovalFact::RulesSet(rules) => encode_rules(rules, into),
        ApprovalFact::ProposalMade(made) => {
            let ProposalMade { proposal, operation, reason, expires_at } = &**made;
            into.u128(proposal.get());
            encode_operation(header, operation, into);
            into.counted(reason.as_bytes());
            into.varint(expires_at.ns());
        }
        ApprovalFact::ProposalEnded(ProposalEnded { proposal, end }) => {
            into.u128(proposal.get());
            into.u8(ENDS.number(*end));
        }
    }
}

pub(super) fn decode(header: &Header, kind: u16, from: &mut Decoder<'_>) -> Result<ApprovalFact, DecodeError> {
    Ok(match kind {
        APPROVALS_SET => ApprovalFact::RulesSet(decode_rules(from)?),
        PROPOSAL_MADE => ApprovalFact::ProposalMade(Box::new(ProposalMade {
            proposal: ProposalId::new(from.u128()?),
            operation: decode_operation(header, from)?,
            reason: decode_text(from)?.into(),
            expires_at: Timestamp::from_ns(from.varint()?),
        })),
        PROPOSAL_ENDED => ApprovalFact::ProposalEnded(ProposalEnded {
            proposal: ProposalId::new(from.u128()?),
            end: ENDS.value(from.u8()?)?,
        }),
        other => return Err(DecodeError::Unknown { what: "kind of approval fact", value: u64::from(other) }),
    })
}

fn encode_rules(rules: &ApprovalRules, into: &mut Encoder) {
    let ApprovalRules { limits, imports, reversals_above } = rules;
    into.u8(DEMANDS.number(*limits));
    into.u8(DEMANDS.number(*imports));
    into.count(reversals_above.len());
    for (asset, bound) in reversals_above {
        into.counted(asset.code().as_bytes());
        into.u8(asset.scale());
        into.varint(bound.get());
    }
}

fn decode_rules(from: &mut Decoder<'_>) -> Result<ApprovalRules, DecodeError> {
    let (limits, imports) = (DEMANDS.value(from.u8()?)?, DEMANDS.value(from.u8()?)?);
    let mut reversals_above = BTreeMap::new();
    for _ in 0..from.count()? {
        let code = decode_text(from)?;
        let asset = Asset::new(&code, from.u8()?);
        let asset = asset.map_err(|_unknown| DecodeError::Unknown { what: "asset", value: 0 })?;
        // The assets are in order, so that each set of rules has exactly one encoding.
        if reversals_above.last_key_value().is_some_and(|(last, _)| *last >= asset) {
            return Err(DecodeError::Unknown { what: "asset in order", value: 0 });
        }
        reversals_above.insert(asset, Amount::new(from.varint()?));
    }
    Ok(ApprovalRules { limits, imports, reversals_above })
}

fn encode_operation(header: &Header, operation: &Proposed, into: &mut Encoder) {
    match operation {
        // Encoded as if it were made at the time of the entry.
        Proposed::Transfer(new) => {
            into.u8(TRANSFER);
            encode_transfer(header, &as_asked(new, header.decided_at), into);
        }
        Proposed::SetLimits { account, limits } => {
            into.u8(SET_LIMITS);
            into.u128(account.get());
            encode_limit(limits.min_balance, into);
            encode_limit(limits.max_balance, into);
        }
        Proposed::Reverse(transfer) => {
            into.u8(REVERSE);
            into.u128(transfer.get());
        }
        Proposed::OpenImport(import) => {
            into.u8(OPEN_IMPORT);
            into.u128(import.get());
        }
        Proposed::SetRules(rules) => {
            into.u8(SET_RULES);
            encode_rules(rules, into);
        }
    }
}

fn decode_operation(header: &Header, from: &mut Decoder<'_>) -> Result<Proposed, DecodeError> {
    Ok(match from.u8()? {
        TRANSFER => {
            let transfer = decode_transfer(header, 1, from)?;
            let is_of_client = matches!(transfer.key, TransferKey::Client(_));
            if transfer.timestamp != header.decided_at || !is_of_client {
                return Err(DecodeError::Unknown { what: "proposed transfer", value: transfer.timestamp.ns() });
            }
            Proposed::Transfer(Box::new(asked_for(&transfer)))
        }
        SET_LIMITS => Proposed::SetLimits {
            account: AccountId::new(from.u128()?),
            limits: ledger::Limits { min_balance: decode_limit(from)?, max_balance: decode_limit(from)? },
        },
        REVERSE => Proposed::Reverse(TransferId::new(from.u128()?)),
        OPEN_IMPORT => Proposed::OpenImport(ImportId::new(from.u128()?)),
        SET_RULES => Proposed::SetRules(decode_rules(from)?),
        other => return Err(DecodeError::Unknown { what: "kind of proposed operation", value: u64::from(other) }),
    })
}
