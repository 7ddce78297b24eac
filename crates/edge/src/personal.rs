//! The personal data of a payment's entry: written by [`seal`], read by [`open`].
//!
//! The values of entities and the personal attributes are sealed in a section (see [`vault::Keys::seal_section`]), with the key of
//! the payment's subject, or with the tenant's key if the payment type has no subject. In it, the value of a personal entity is
//! sealed with the entity's own key, so that one person's key never reveals another person's value. The label of an entity is its
//! number among the entity attributes of the entry, from 0, as one byte; that of another attribute is its name. A value is JSON
//! text. The payment id is the authenticated context, so a section cannot be moved to another payment.
//!
//! Releases before version 5 of the journal's format sealed a JSON object from attribute name to value. The value of a personal
//! entity in it is `{"key": "<id of the entity's own key>", "sealed": "<base64url>"}`. [`open_long`] reads that.

use std::collections::BTreeMap;

use api::payments::ToSeal;
use api::requests::Parsed;
use api::responses::PersonalData;
use engine::{DecisionForm, Entry, PaymentDecided, PersonalDataRead, PlainValue};
use serde::Deserialize;
use serde_json::Value;
use types::{PaymentId, RequestId, Sealed};
use vault::{Keys as _, OpenedPart, Part, UnsealError, base64url};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (entry, decided) = edge.decision_of(call).await?;
    let Opened { attributes, erased } = opened(edge, &entry, &decided)?;
    // Nobody sees personal data without an entry that says so. While writes are refused, so is this.
    let request = request_id(edge);
    let read = PersonalDataRead { payment: decided.payment, attributes: [].into() };
    edge.ask(call, Parsed { request, operation: read }).await?;
    let (payment, request) = (decided.payment.to_string(), request.to_string());
    Ok(Response::found(&PersonalData { payment, attributes, erased, request }))
}

/// An id for a read, so that the answer and its entry can be matched.
fn request_id<S: Sources>(edge: &Edge<S>) -> RequestId {
    let mut bytes = [0; 16];
    edge.sources.fill_with_random(&mut bytes);
    RequestId::new(u128::from_le_bytes(bytes))
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
    let keys = edge.sources.keys();
    let opened = match (&entry.sealed, decided.form) {
        (Some(sealed), DecisionForm::Compact) => {
            open(&entities(decided), keys.unseal_section(tenant, &context, sealed))
        }
        (Some(sealed), DecisionForm::Long) => {
            open_long(sealed, &entities(decided), |sealed| keys.unseal(tenant, &context, sealed))
        }
        (None, _) => Ok(Opened::default()),
    };
    opened.map_err(|Damaged| edge.sources.internal("the sealed section of a payment is damaged"))
}

/// The authenticated context of everything that is sealed for a payment: its id, 16 bytes little-endian.
pub fn context(payment: PaymentId) -> [u8; 16] {
    payment.get().to_le_bytes()
}

/// The value of a personal entity, sealed with its own key.
#[derive(Deserialize)]
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

impl Opened {
    /// What is left of a section whose key was erased.
    fn erased(entities: &[String]) -> Self {
        let mut erased = entities.to_vec();
        erased.sort_unstable();
        Self { attributes: erased.iter().map(|name| (name.clone(), Value::Null)).collect(), erased }
    }
}

/// The sealed section cannot be decrypted or parsed.
#[derive(Debug, PartialEq, Eq)]
struct Damaged;

/// Seals the parts of a payment. `seal_with` seals a section with the key of the subject (kind, value), or with the tenant's
/// key if that is `None`.
///
/// # Errors
/// Those of `seal_with`.
pub(crate) fn seal<E>(
    to_seal: &ToSeal,
    seal_with: impl FnOnce(Option<(&str, &str)>, &[Part<'_>]) -> Result<Sealed, E>,
) -> Result<Sealed, E> {
    // No name begins with one of these bytes.
    const _: () = assert!(policy::limits::ATTRIBUTES_MAX < b'a' as usize);
    let labels: Vec<[u8; 1]> = (0..u8::MAX).take(to_seal.parts.len()).map(|number| [number]).collect();
    let mut entities = labels.iter().map(<[u8; 1]>::as_slice);
    let parts = to_seal.parts.iter().map(|part| {
        let numbered = if part.is_entity { entities.next() } else { None };
        let owner = part.owner.as_ref().map(|(kind, value)| (kind.as_str(), &**value));
        Part { label: numbered.unwrap_or(part.name.as_str().as_bytes()), owner, value: part.value.as_bytes() }
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let subject = to_seal.subject.as_ref().map(|(kind, value)| (kind.as_str(), &**value));
    seal_with(subject, &parts)
}

/// Opens what [`seal`] sealed. `entities` are the names of the entity attributes of the entry, in its order. If the key of the
/// section was erased, it cannot be read; the entities are then reported as erased.
fn open(entities: &[String], unsealed: Result<Vec<OpenedPart>, UnsealError>) -> Result<Opened, Damaged> {
    let parts = match unsealed {
        Ok(parts) => parts,
        Err(UnsealError::KeyErased(_)) => return Ok(Opened::erased(entities)),
        Err(UnsealError::Damaged) => return Err(Damaged),
    };
    let mut opened = Opened::default();
    for part in parts {
        let name = match part.label.as_slice() {
            [number] if usize::from(*number) < policy::limits::ATTRIBUTES_MAX => {
                entities.get(usize::from(*number)).cloned().ok_or(Damaged)?
            }
            label => String::from_utf8(label.to_vec()).or(Err(Damaged))?,
        };
        let value = match part.value {
            Some(json) => serde_json::from_slice(&json).or(Err(Damaged))?,
            None => {
                opened.erased.push(name.clone());
                Value::Null
            }
        };
        opened.attributes.insert(name, value);
    }
    opened.erased.sort_unstable();
    Ok(opened)
}

/// Opens a section of an earlier release. If the outer key was erased, the section cannot be read; the attributes named in
/// `entities` are then reported as erased.
fn open_long(
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
        None => return Ok(Opened::erased(entities)),
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

/// The names of a payment's entity attributes, in its order. Its entry has their tokens in the clear, so they are known even if
/// the sealed section cannot be opened.
fn entities(decided: &PaymentDecided) -> Vec<String> {
    let entities = decided.attributes.iter().filter(|(_, value)| matches!(value, PlainValue::Entity(_)));
    entities.map(|(name, _)| name.to_string()).collect()
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
        let is_entity = kind.is_some() || name == "merchant";
        PartToSeal { name: name.parse().expect("a name"), is_entity, value: format!("\"{value}\""), owner }
    }

    const ENTITIES: [&str; 3] = ["customer", "recipient", "merchant"];

    /// A section of this release, and what an earlier release made of the same values.
    fn sealed(vault: &mut Vault, subject: bool) -> [(DecisionForm, Sealed); 2] {
        let parts = vec![
            part("customer", "ann", Some("customer")),
            part("recipient", "bob", Some("customer")),
            part("merchant", "shop", None),
            part("email", "ann@example.org", None),
        ];
        let to_seal = ToSeal { subject: subject.then(|| entity("customer", "ann")), parts };
        let section = seal(&to_seal, |subject, parts| vault.seal_section(TENANT, subject, CONTEXT, parts, &mut random));
        let mut own = |name: &str| {
            let bytes = format!("\"{name}\"");
            let own = vault.seal(TENANT, Some(("customer", name)), CONTEXT, bytes.as_bytes(), &mut random);
            let own = own.expect("room for keys");
            let key = own.keys.first().expect("a key").to_string();
            let (key, sealed) = (key, base64url::encode(&own.ciphertext));
            serde_json::json!({ "key": key, "sealed": sealed })
        };
        let long = serde_json::json!({
            "customer": own("ann"), "email": "ann@example.org", "merchant": "shop", "recipient": own("bob")
        });
        let subject = subject.then_some(("customer", "ann"));
        let long = vault.seal(TENANT, subject, CONTEXT, long.to_string().as_bytes(), &mut random);
        [(DecisionForm::Compact, section.expect("room for keys")), (DecisionForm::Long, long.expect("room for keys"))]
    }

    fn opened(vault: &Vault, (form, sealed): &(DecisionForm, Sealed)) -> Result<(String, Vec<String>), Damaged> {
        let entities = ENTITIES.map(str::to_owned);
        let opened = match form {
            DecisionForm::Compact => open(&entities, vault.unseal_section(TENANT, CONTEXT, sealed))?,
            DecisionForm::Long => open_long(sealed, &entities, |sealed| vault.unseal(TENANT, CONTEXT, sealed))?,
        };
        Ok((serde_json::to_string(&opened.attributes).expect("JSON"), opened.erased))
    }

    #[track_caller]
    fn check(vault: &Vault, sealed: &[(DecisionForm, Sealed)], attributes: &str, erased: &[&str]) {
        let erased: Vec<String> = erased.iter().map(|name| (*name).to_owned()).collect();
        for one in sealed {
            assert_eq!(opened(vault, one), Ok((attributes.to_owned(), erased.clone())), "{:?}", one.0);
        }
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
            for (_, sealed) in &sealed {
                let outer = vault.unseal(TENANT, CONTEXT, sealed).expect("the outer key is there");
                let outer = String::from_utf8_lossy(&outer);
                assert!(!outer.contains("bob") && !outer.contains(&base64url::encode(b"bob")), "{outer}");
            }
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
        for (form, sealed) in sealed(&mut vault, true) {
            let damaged = |vault: &Vault, sealed: Sealed| assert_eq!(opened(vault, &(form, sealed)), Err(Damaged));
            damaged(
                &vault,
                Sealed { ciphertext: sealed.ciphertext.iter().copied().skip(1).collect(), ..sealed.clone() },
            );
            for plaintext in ["?", "[]", r#"{"a": {}}"#, r#"{"a": {"key": "7", "sealed": "?"}}"#, "\u{1}\u{9}\0\u{1}1"]
            {
                let other = vault.seal(TENANT, None, CONTEXT, plaintext.as_bytes(), &mut random);
                damaged(&vault, other.expect("the tenant's key"));
            }
            damaged(&vault, Sealed { keys: Vec::new(), ..sealed });
        }
    }
}
