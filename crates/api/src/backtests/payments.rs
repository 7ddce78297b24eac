//! The payments behind the numbers of a backtest.

use backtest::{PaymentChange, Transition};
use serde::Serialize;
use types::{Name, Timestamp, shorten};
use utoipa::ToSchema;

use super::{BeforeAfter, DAY_NS, shown};
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

/// A payment that the policy of a backtest decides with another verdict or for other reasons.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BacktestPayment {
    /// The id of the payment.
    payment: String,
    /// The entry that decided it.
    sequence: u64,
    #[schema(format = "date-time")]
    decided_at: String,
    r#type: String,
    /// In minor units.
    #[schema(example = "125000")]
    amount: String,
    #[schema(example = "EUR/2")]
    asset: String,
    #[schema(example = "approve_to_decline")]
    change: String,
    score: BeforeAfter,
    /// `fraud` or `legitimate`; null if that was not known when the backtest started.
    #[schema(required)]
    label: Option<&'static str>,
    /// The reasons that applied only before.
    reasons_before: Vec<String>,
    /// The reasons that apply only now.
    reasons_after: Vec<String>,
    /// The reasons that applied before and apply now.
    reasons_both: Vec<String>,
}

/// Which payments of a backtest a page contains.
#[derive(Debug, Clone, Default)]
pub struct PaymentsFilter {
    change: Option<Option<Transition>>,
    rule: Option<Name>,
    payment_type: Option<Name>,
    is_fraud: Option<bool>,
    day: Option<u64>,
}

impl PaymentsFilter {
    /// Reads the filter of a request.
    ///
    /// # Errors
    /// If a parameter has an invalid value.
    pub fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let change = parameters.get("change").map(|text| {
            let found = Transition::all().find(|transition| transition.name() == text);
            if text == "any" {
                return Ok(None);
            }
            found.map(Some).ok_or_else(|| {
                let known: Vec<String> = Transition::all().map(Transition::name).collect();
                invalid("change", format!("found `{}`, expected any, {}", shorten(text), known.join(", ")))
            })
        });
        let is_fraud = parameters.get("label").map(|text| match text {
            "fraud" => Ok(true),
            "legitimate" => Ok(false),
            other => Err(invalid("label", format!("found `{}`, expected fraud or legitimate", shorten(other)))),
        });
        let day = parameters.get("day").map(|text| {
            let start =
                (text.len() == "2027-01-31".len()).then(|| format!("{text}T00:00:00Z").parse::<Timestamp>().ok());
            let start = start.flatten().map(|start| start.ns().div_euclid(DAY_NS));
            start.ok_or_else(|| invalid("day", format!("found `{}`, expected a day such as 2027-01-31", shorten(text))))
        });
        Ok(Self {
            change: change.transpose()?,
            rule: parameters.parsed("rule")?,
            payment_type: parameters.parsed("type")?,
            is_fraud: is_fraud.transpose()?,
            day: day.transpose()?,
        })
    }

    /// Whether a payment is wanted.
    pub fn fits(&self, found: &PaymentChange) -> bool {
        let reasons = || [&found.reasons_before, &found.reasons_after, &found.reasons_both].into_iter().flatten();
        let change = match self.change {
            None => true,
            Some(None) => found.transition.is_change(),
            Some(Some(wanted)) => found.transition == wanted,
        };
        change
            && self.rule.as_ref().is_none_or(|rule| reasons().any(|reason| reason == rule))
            && self.payment_type.as_ref().is_none_or(|wanted| *wanted == found.payment_type)
            && self.is_fraud.is_none_or(|wanted| found.fraud == Some(wanted))
            && self.day.is_none_or(|day| found.decided_at.ns().div_euclid(DAY_NS) == day)
    }
}

impl From<&PaymentChange> for BacktestPayment {
    fn from(found: &PaymentChange) -> Self {
        let names = |names: &[Name]| names.iter().map(Name::to_string).collect();
        let (before, after) = found.score;
        Self {
            payment: found.payment.to_string(),
            sequence: found.seq.get(),
            decided_at: found.decided_at.to_string(),
            r#type: found.payment_type.to_string(),
            amount: found.amount.to_string(),
            asset: shown(found.asset),
            change: found.transition.name(),
            score: BeforeAfter { before: before.into(), after: after.into() },
            label: found.fraud.map(|is_fraud| if is_fraud { "fraud" } else { "legitimate" }),
            reasons_before: names(&found.reasons_before),
            reasons_after: names(&found.reasons_after),
            reasons_both: names(&found.reasons_both),
        }
    }
}
