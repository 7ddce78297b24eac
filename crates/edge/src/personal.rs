//! The sealed section of a payment's entry: written by [`seal`], read by [`open`].
//!
//! The section is a JSON object from attribute name to value, encrypted with the key of the payment's subject, or with
//! the tenant's key if the payment type has no subject. An ordinary attribute is in it as a plain JSON value. The value
//! of a personal entity is encrypted once more, with the entity's own key, and stored as
//! `{"key": "<id of the entity's own key>", "sealed": "<base64url>"}`, so that one person's key never reveals another
//! person's value. The payment id is the authenticated context of both encryptions, so a sealed value cannot be moved to
//! another payment.

use std::collections::BTreeMap;

use api::payments::ToSeal;
use api::responses::PersonalData;
use engine::{Entry, PaymentDecided, PlainValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{PaymentId, Sealed};
use vault::{Keys as _, UnsealError, base64url};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (entry, decided) = edge.decision_of(call).await?;
    let Opened { attributes, erased } = opened(edge, &entry, &decided)?;
    Ok(Response::found(&PersonalData { payment: decided.payment.to_string(), attributes, erased }))
}

/// Opens the personal data of a payment.
///
/// # Errors
/// If its sealed section is damaged.
pub(crate) fn opened<S: Sources + Sync>(
    edge: &Edge<S>,
    entry: &Entry,
    decided: &PaymentDecided,
) -> Result<Opened, S::Failure> {
    let (tenant, context) = (edge.installation.tenant, context(decided.payment));
    let unseal = |sealed: &Sealed| edge.sources.keys().unseal(tenant, &context, sealed);
    let opened = match &entry.sealed {
        Some(sealed) => open(sealed, &entities(decided), unseal),
        None => Ok(Opened::default()),
    };
    opened.map_err(|Damaged| edge.sources.internal("the sealed section of a payment is damaged"))
}

/// The authenticated context of everything that is sealed for a payment: its id, 16 bytes little-endian.
pub fn context(payment: PaymentId) -> [u8; 16] {
    payment.get().to_le_bytes()
}

/// The value of a personal entity, sealed with its own key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    key: String,
    sealed: String,
}

/// The opened attributes by name (null if their key was erased), and the names of the erased ones.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) erased: Vec<String>,
}

/// The sealed section cannot be decrypted or parsed.
#[derive(Debug, PartialEq, Eq)]
struct Damaged;

/// Seals the parts of a payment. `seal_with` encrypts bytes with the key of the subject (kind, value), or with the
/// tenant's key if that is `None`.
///
/// # Errors
/// Those of `seal_with`.
pub(crate) fn seal<E>(
    to_seal: &ToSeal,
    mut seal_with: impl FnMut(Option<(&str, &str)>, &[u8]) -> Result<Sealed, E>,
) -> Result<Sealed, E> {
    let mut values = BTreeMap::new();
    for part in &to_seal.parts {
        let value = match &part.owner {
            None => part.value.clone(),
            Some((kind, value)) => {
                let sealed = seal_with(Some((kind.as_str(), value)), &json(&part.value))?;
                let key = sealed.keys.first().copied().unwrap_or_default().to_string();
                serde_json::json!(Inner { key, sealed: base64url::encode(&sealed.ciphertext) })
            }
        };
        values.insert(part.name.as_str(), value);
    }
    let subject = to_seal.subject.as_ref().map(|(kind, value)| (kind.as_str(), &**value));
    seal_with(subject, &json(&values))
}

/// Opens what [`seal`] sealed. If the outer key was erased, the section cannot be read; the attributes named in
/// `entities` are then reported as erased.
fn open(
    sealed: &Sealed,
    entities: &[String],
    unseal: impl Fn(&Sealed) -> Result<Vec<u8>, UnsealError>,
) -> Result<Opened, Damaged> {
    let unsealed = |sealed: &Sealed| match unseal(sealed) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(UnsealError::KeyErased(_)) => Ok(None),
        Err(UnsealError::Damaged) => Err(Damaged),
    };
    let mut attributes: BTreeMap<String, Value> = match unsealed(sealed)? {
        Some(bytes) => serde_json::from_slice(&bytes).or(Err(Damaged))?,
        None => {
            let attributes = entities.iter().map(|name| (name.clone(), Value::Null)).collect();
            return Ok(Opened { attributes, erased: entities.to_vec() });
        }
    };
    let mut erased = Vec::new();
    for (name, value) in &mut attributes {
        if value.is_object() {
            let inner = Inner::deserialize(&*value).or(Err(Damaged))?;
            let key = inner.key.parse().or(Err(Damaged))?;
            let ciphertext = base64url::decode(&inner.sealed).ok_or(Damaged)?;
            *value = match unsealed(&Sealed { keys: vec![key], ciphertext: ciphertext.into() })? {
                Some(bytes) => serde_json::from_slice(&bytes).or(Err(Damaged))?,
                None => Value::Null,
            };
            if value.is_null() {
                erased.push(name.clone());
            }
        }
    }
    Ok(Opened { attributes, erased })
}

/// The sorted names of a payment's entity attributes. Its entry has their tokens in the clear, so they are known even if
/// the sealed section cannot be opened.
fn entities(decided: &PaymentDecided) -> Vec<String> {
    let entities = decided.attributes.iter().filter(|(_, value)| matches!(value, PlainValue::Entity(_)));
    let mut names: Vec<String> = entities.map(|(name, _)| name.to_string()).collect();
    names.sort_unstable();
    names
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("scalars by name are JSON")
}

#[cfg(test)]
mod tests {
    use api::payments::PartToSeal;
    use datadir::random;
    use types::TenantId;
    use vault::{RootKey, Vault};

    use super::*;

    const TENANT: TenantId = TenantId::new(1);
    const CONTEXT: &[u8] = b"payment 7";

    fn vault() -> Vault {
        Vault::open(&RootKey::new(&mut random), &[], &mut random).expect("a new vault").0
    }

    fn entity(kind: &str, value: &str) -> (types::Name, Box<str>) {
        (kind.parse().expect("a name"), value.into())
    }

    fn part(name: &str, value: &str, kind: Option<&str>) -> PartToSeal {
        let owner = kind.map(|kind| entity(kind, value));
        PartToSeal { name: name.parse().expect("a name"), value: value.into(), owner }
    }

    fn sealed(vault: &mut Vault, subject: bool) -> Sealed {
        let parts = vec![
            part("customer", "ann", Some("customer")),
            part("recipient", "bob", Some("customer")),
            part("merchant", "shop", None),
            part("email", "ann@example.org", None),
        ];
        let to_seal = ToSeal { subject: subject.then(|| entity("customer", "ann")), parts };
        seal(&to_seal, |subject, bytes| vault.seal(TENANT, subject, CONTEXT, bytes, &mut random))
            .expect("room for keys")
    }

    fn opened(vault: &Vault, sealed: &Sealed) -> Result<(String, Vec<String>), Damaged> {
        let entities = ["customer", "merchant", "recipient"].map(str::to_owned);
        let opened = open(sealed, &entities, |sealed| vault.unseal(TENANT, CONTEXT, sealed))?;
        Ok((serde_json::to_string(&opened.attributes).expect("JSON"), opened.erased))
    }

    #[track_caller]
    fn check(vault: &Vault, sealed: &Sealed, attributes: &str, erased: &[&str]) {
        let erased = erased.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(opened(vault, sealed), Ok((attributes.to_owned(), erased)));
    }

    #[test]
    fn erasing_a_recipient_takes_its_value_and_nothing_else() {
        for subject in [true, false] {
            let mut vault = vault();
            let sealed = sealed(&mut vault, subject);
            let whole = r#"{"customer":"ann","email":"ann@example.org","merchant":"shop","recipient":"bob"}"#;
            check(&vault, &sealed, whole, &[]);

            assert!(vault.erase(TENANT, "customer", "bob"));
            let rest = r#"{"customer":"ann","email":"ann@example.org","merchant":"shop","recipient":null}"#;
            check(&vault, &sealed, rest, &["recipient"]);
            // Not even what the other keys open has it.
            let outer = vault.unseal(TENANT, CONTEXT, &sealed).expect("the outer key is there");
            let outer = String::from_utf8(outer).expect("JSON");
            assert!(!outer.contains("bob") && !outer.contains(&base64url::encode(b"bob")), "{outer}");
        }
    }

    #[test]
    fn erasing_the_subject_takes_the_whole_section() {
        let mut vault = vault();
        let sealed = sealed(&mut vault, true);
        assert!(vault.erase(TENANT, "customer", "ann"));
        let nothing = r#"{"customer":null,"merchant":null,"recipient":null}"#;
        check(&vault, &sealed, nothing, &["customer", "merchant", "recipient"]);
    }

    #[test]
    fn damage_is_told_from_erasure() {
        let mut vault = vault();
        let sealed = sealed(&mut vault, true);
        let cut = Sealed { ciphertext: sealed.ciphertext.iter().copied().skip(1).collect(), ..sealed.clone() };
        assert_eq!(opened(&vault, &cut), Err(Damaged));
        for plaintext in ["", "[]", r#"{"a": {}}"#, r#"{"a": {"key": "7", "sealed": "?"}}"#] {
            let other = vault.seal(TENANT, None, CONTEXT, plaintext.as_bytes(), &mut random).expect("the tenant's key");
            assert_eq!(opened(&vault, &other), Err(Damaged), "{plaintext}");
        }
        let other = Sealed { keys: Vec::new(), ..sealed };
        assert_eq!(opened(&vault, &other), Err(Damaged));
    }
}
