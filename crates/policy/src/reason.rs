//! The reason codes that the system itself gives, whose names are permanent, and those that a policy has for customers.

use types::Name;

/// A rule or model read a feature that is missing, or an attribute that the payment leaves out.
pub const FEATURE_MISSING: &str = "feature_missing";
/// A model gave no number.
pub const MODEL_FAILED: &str = "model_failed";
/// A rule could not be evaluated because of an overflow or a division by zero. Always leads to a review.
pub const RULE_FAILED: &str = "rule_failed";
/// The value, item, group or filter of a stream could not be evaluated, so the stream does not record the payment. Always leads to
/// a review.
pub const STREAM_FAILED: &str = "stream_failed";
/// The score reached `review_at`.
pub const SCORE_REVIEW: &str = "score_review";
/// The score reached `decline_at`.
pub const SCORE_DECLINE: &str = "score_decline";
/// The transfers of the payment cannot be determined. The caller always declines the payment.
pub const LEG_FAILED: &str = "leg_failed";

/// All codes of the system. No rule can have one of these names.
pub const SYSTEM_REASONS: [&str; 7] =
    [FEATURE_MISSING, MODEL_FAILED, RULE_FAILED, STREAM_FAILED, SCORE_REVIEW, SCORE_DECLINE, LEG_FAILED];

/// A reason in the words of a letter to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonText {
    /// The stable code.
    pub code: Name,
    /// For example `The card was used unusually often`.
    pub text: String,
}

/// The codes that an evaluation gives, parsed into names once per policy.
#[derive(Debug)]
pub(crate) struct Codes {
    pub(crate) feature_missing: Name,
    pub(crate) model_failed: Name,
    pub(crate) rule_failed: Name,
    pub(crate) stream_failed: Name,
    pub(crate) score_review: Name,
    pub(crate) score_decline: Name,
}

impl Codes {
    pub(crate) fn new() -> Self {
        let name = |code: &str| code.parse().expect("POL-5: the system's reason codes are names");
        Self {
            feature_missing: name(FEATURE_MISSING),
            model_failed: name(MODEL_FAILED),
            rule_failed: name(RULE_FAILED),
            stream_failed: name(STREAM_FAILED),
            score_review: name(SCORE_REVIEW),
            score_decline: name(SCORE_DECLINE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureCause, MissingReason};

    const PAGE: &str = include_str!("../../../docs/reasons.md");

    #[test]
    fn every_reason_of_the_system_has_a_section_that_says_what_to_do() {
        let sections: Vec<&str> = PAGE.split("\n## ").collect();
        for reason in SYSTEM_REASONS {
            let section = sections.iter().find(|section| section.starts_with(&format!("{reason}\n")));
            assert!(section.is_some_and(|section| section.contains("**What to do.**")), "docs/reasons.md: {reason}");
        }
    }

    #[test]
    fn every_cause_and_every_reason_for_a_missing_feature_is_in_a_table() {
        let rows: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let missing = MissingReason::ALL.map(MissingReason::as_str);
        let expected: Vec<&str> = FailureCause::NAMES.into_iter().chain(missing).collect();
        assert_eq!(rows, expected);
    }
}
