//! Encodes principals and their credentials.

use engine::{
    ApiKeyAdded, CredentialAdded, CredentialKind, CredentialRevoked, IdentityFact, PrincipalAdded, PrincipalKind,
};
use types::{ActorId, CredentialId, Digest, Timestamp, TokenSubject};

use super::fact::{API_KEY_ADDED, CREDENTIAL_ADDED, CREDENTIAL_REVOKED, FIRST_VERSION, PRINCIPAL_ADDED, decode_text};
use super::payment::Table;
use crate::bytes::{DecodeError, Decoder, Encoder};

const PRINCIPAL_KINDS: Table<PrincipalKind> = Table { what: "kind of principal", values: &PrincipalKind::ALL };
const API_KEY: u8 = 0;

/// The version of `principal_added` with a subject.
pub(super) const SUBJECT_VERSION: u16 = 2;
/// The version of `credential_added` with an expiry.
pub(super) const EXPIRY_VERSION: u16 = 2;

pub(super) const fn kind(fact: &IdentityFact) -> (u16, &'static str) {
    match fact {
        IdentityFact::PrincipalAdded(_) => (PRINCIPAL_ADDED, "principal_added"),
        IdentityFact::CredentialAdded(_) => (CREDENTIAL_ADDED, "credential_added"),
        IdentityFact::CredentialRevoked(_) => (CREDENTIAL_REVOKED, "credential_revoked"),
        IdentityFact::ApiKeyAdded(_) => (API_KEY_ADDED, "api_key_added"),
    }
}

pub(super) const fn version(fact: &IdentityFact) -> u16 {
    match fact {
        IdentityFact::PrincipalAdded(PrincipalAdded { subject: Some(_), .. }) => SUBJECT_VERSION,
        IdentityFact::CredentialAdded(CredentialAdded { expires_at: Some(_), .. }) => EXPIRY_VERSION,
        IdentityFact::PrincipalAdded(_)
        | IdentityFact::CredentialAdded(_)
        | IdentityFact::CredentialRevoked(_)
        | IdentityFact::ApiKeyAdded(_) => FIRST_VERSION,
    }
}

pub(super) fn encode(fact: &IdentityFact, into: &mut Encoder) {
    match fact {
        IdentityFact::PrincipalAdded(PrincipalAdded { actor, kind, name, subject }) => {
            into.varint(actor.get());
            into.u8(PRINCIPAL_KINDS.number(*kind));
            into.counted(name.as_bytes());
            if let Some(subject) = subject {
                into.counted(subject.issuer().as_bytes());
                into.counted(subject.subject().as_bytes());
            }
        }
        IdentityFact::CredentialAdded(CredentialAdded { credential, principal, kind, scopes, name, expires_at }) => {
            into.varint(credential.get());
            into.varint(principal.get());
            match kind {
                CredentialKind::ApiKey { hash } => {
                    into.u8(API_KEY);
                    into.raw(hash.as_bytes());
                }
            }
            into.varint(*scopes);
            into.counted(name.as_bytes());
            if let Some(expires_at) = expires_at {
                into.varint(expires_at.ns());
            }
        }
        IdentityFact::CredentialRevoked(CredentialRevoked { credential }) => into.varint(credential.get()),
        IdentityFact::ApiKeyAdded(ApiKeyAdded { key, hash, scopes, name }) => {
            into.varint(key.get());
            into.raw(hash.as_bytes());
            into.varint(*scopes);
            into.counted(name.as_bytes());
        }
    }
}

pub(super) fn decode(kind: u16, version: u16, from: &mut Decoder<'_>) -> Result<IdentityFact, DecodeError> {
    Ok(match kind {
        PRINCIPAL_ADDED => IdentityFact::PrincipalAdded(PrincipalAdded {
            actor: ActorId::new(from.varint()?),
            kind: PRINCIPAL_KINDS.value(from.u8()?)?,
            name: decode_text(from)?.into(),
            subject: if version >= SUBJECT_VERSION { Some(decode_subject(from)?) } else { None },
        }),
        CREDENTIAL_ADDED => IdentityFact::CredentialAdded(CredentialAdded {
            credential: CredentialId::new(from.varint()?),
            principal: ActorId::new(from.varint()?),
            kind: decode_credential_kind(from)?,
            scopes: from.varint()?,
            name: decode_text(from)?.into(),
            expires_at: if version >= EXPIRY_VERSION { Some(Timestamp::from_ns(from.varint()?)) } else { None },
        }),
        CREDENTIAL_REVOKED => {
            IdentityFact::CredentialRevoked(CredentialRevoked { credential: CredentialId::new(from.varint()?) })
        }
        API_KEY_ADDED => IdentityFact::ApiKeyAdded(ApiKeyAdded {
            key: ActorId::new(from.varint()?),
            hash: Digest::new(from.array()?),
            scopes: from.varint()?,
            name: decode_text(from)?.into(),
        }),
        other => return Err(DecodeError::Unknown { what: "kind of identity fact", value: u64::from(other) }),
    })
}

fn decode_subject(from: &mut Decoder<'_>) -> Result<TokenSubject, DecodeError> {
    let (issuer, subject) = (decode_text(from)?, decode_text(from)?);
    let unknown = |_impossible| DecodeError::Unknown { what: "subject of a token", value: 0 };
    TokenSubject::new(&issuer, &subject).map_err(unknown)
}

fn decode_credential_kind(from: &mut Decoder<'_>) -> Result<CredentialKind, DecodeError> {
    match from.u8()? {
        API_KEY => Ok(CredentialKind::ApiKey { hash: Digest::new(from.array()?) }),
        other => Err(DecodeError::Unknown { what: "kind of credential", value: u64::from(other) }),
    }
}
