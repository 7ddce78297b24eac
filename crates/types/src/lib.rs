//! Value types that every crate shares: ids, amounts, assets, times, tokens, digests.
//!
//! Each value is validated when it is parsed and can be trusted afterwards. This crate does no I/O and uses no clock or
//! randomness.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod amount;
mod asset;
mod digest;
mod ids;
mod name;
mod sealed;
mod setting_name;
mod shown;
mod time;
mod token_subject;

pub use amount::{Amount, AmountParseError};
pub use asset::{Asset, AssetParseError};
pub use digest::{Digest, DigestBuilder, DigestParseError};
pub use ids::{
    AccountId, ActorId, Code, CredentialId, Epoch, IdParseError, ImportId, KeyId, LedgerId, Origin, PaymentId,
    ProposalId, RequestId, Seq, ShardId, TenantId, Token, TransferId,
};
pub use name::{Name, NameParseError};
pub use sealed::Sealed;
pub use setting_name::{SettingName, SettingNameParseError};
pub use shown::shorten;
pub use time::{Span, SpanParseError, Timestamp, TimestampParseError};
pub use token_subject::{TokenSubject, TokenSubjectError};
