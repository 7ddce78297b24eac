//! Issuers, clients, roles and revoked tokens, as the system journal has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Scope;
use api::installation::{Client, CustomRole, Roles, TokenIssuer};
use engine::{Setting, SettingKind};
use issuer::Registry;
use types::{Seq, SettingName, Timestamp};

/// Something with a setting.
#[derive(Debug, Clone)]
pub(crate) struct Added<T> {
    pub(crate) item: Arc<T>,
    /// The entry that put the present document.
    pub(crate) version: Seq,
    pub(crate) added_at: Timestamp,
}

/// The settings that say which tokens count.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) issuers: BTreeMap<String, Added<TokenIssuer>>,
    pub(crate) clients: BTreeMap<String, Added<Client>>,
    pub(crate) roles: BTreeMap<String, Added<CustomRole>>,
    /// The clients, with their keys and the scopes of their roles.
    registered: BTreeMap<String, Arc<issuer::Client>>,
    /// The names of tokens, and when each expires.
    pub(crate) revoked: BTreeMap<String, Revoked>,
    /// How many of them each client has.
    revoked_of: BTreeMap<Box<str>, usize>,
}

/// A token that was revoked.
#[derive(Debug)]
pub(crate) struct Revoked {
    pub(crate) expires_at: Timestamp,
    client: Box<str>,
}

/// Most revoked tokens of one client that are remembered until they expire. One client cannot take the places of all.
pub(crate) const REVOKED_OF_CLIENT_MAX: usize = 1_024;

impl Settings {
    /// Notes a change. A document that cannot be read counts as removed: nobody gets in by it.
    pub(super) fn note(&mut self, kind: SettingKind, name: &SettingName, setting: Option<&Setting>) {
        let name = name.as_str();
        match kind {
            SettingKind::Issuer => note(&mut self.issuers, name, setting, TokenIssuer::read),
            SettingKind::Role => note(&mut self.roles, name, setting, CustomRole::read),
            SettingKind::Client => {
                note(&mut self.clients, name, setting, Client::read);
                self.register(name);
            }
            SettingKind::RevokedToken => {
                if let Some(before) = self.revoked.remove(name) {
                    self.count_revoked(before.client, |count| count.saturating_sub(1));
                }
                if let Some(setting) = setting {
                    let revoked = revoked(&setting.document);
                    self.count_revoked(revoked.client.clone(), |count| count.saturating_add(1));
                    self.revoked.insert(name.to_owned(), revoked);
                }
            }
            SettingKind::Tenant | SettingKind::SigningKey => {}
        }
    }

    fn count_revoked(&mut self, client: Box<str>, change: impl FnOnce(usize) -> usize) {
        let count = change(self.revoked_of(&client));
        if count == 0 {
            self.revoked_of.remove(&client)
        } else {
            self.revoked_of.insert(client, count)
        };
    }

    /// How many revoked tokens a client has that have not been forgotten.
    pub(crate) fn revoked_of(&self, client: &str) -> usize {
        self.revoked_of.get(client).copied().unwrap_or_default()
    }

    /// Looks up the roles of all clients again.
    pub(super) fn resolve_roles(&mut self) {
        let names: Vec<_> = self.clients.keys().cloned().collect();
        for name in names {
            self.register(&name);
        }
    }

    fn register(&mut self, name: &str) {
        self.registered.remove(name);
        let Some(Added { item, .. }) = self.clients.get(name) else { return };
        match item.registered(self) {
            Ok(client) => {
                self.registered.insert(name.to_owned(), Arc::new(client));
            }
            Err(problem) => tracing::error!(client = name, problem = problem.detail(), "a client cannot be used"),
        }
    }

    /// The client that an earlier request registered.
    pub(crate) fn client_of(&self, request: types::RequestId) -> Option<&Added<Client>> {
        self.clients.values().find(|client| client.item.request == Some(request))
    }
}

fn note<T>(
    items: &mut BTreeMap<String, Added<T>>,
    name: &str,
    setting: Option<&Setting>,
    read: impl FnOnce(&str) -> Result<T, api::Problem>,
) {
    items.remove(name);
    let Some(Setting { kind, document, version, added_at, .. }) = setting else { return };
    match read(document) {
        Ok(item) => {
            items.insert(name.to_owned(), Added { item: Arc::new(item), version: *version, added_at: *added_at });
        }
        Err(problem) => {
            tracing::error!(
                kind = kind.name(),
                name,
                problem = problem.detail(),
                "a setting cannot be read; it is ignored"
            );
        }
    }
}

/// The document of a token that its client revoked.
pub(crate) fn revoked_document(client: &str, expires_at: Timestamp) -> String {
    serde_json::json!({ "client_id": client, "expires_at": expires_at.to_string() }).to_string()
}

fn revoked(document: &str) -> Revoked {
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    // Without a time, it stays revoked.
    Revoked { expires_at: text("expires_at").parse().unwrap_or(Timestamp::MAX), client: text("client_id").into() }
}

impl Roles for Settings {
    fn added(&self, name: &str) -> Option<Scope> {
        self.roles.get(name).map(|role| role.item.scopes)
    }
}

impl Registry for Settings {
    fn client(&self, id: &str) -> Option<Arc<issuer::Client>> {
        self.registered.get(id).cloned()
    }

    fn is_revoked(&self, jti: &str) -> bool {
        self.revoked.contains_key(jti)
    }
}

#[cfg(test)]
mod tests {
    use types::{ActorId, TenantId};

    use super::*;

    #[test]
    fn the_revoked_tokens_of_a_client_are_counted_until_they_are_forgotten() {
        let mut settings = Settings::default();
        let at = Timestamp::from_ns(1_795_000_000_000_000_000);
        let mut note = |name: &str, document: Option<String>| {
            let name: SettingName = name.parse().unwrap();
            let kind = SettingKind::RevokedToken;
            let put_by = (TenantId::new(1), ActorId::new(1));
            let setting = document.map(|document| Setting {
                kind,
                name: name.clone(),
                document: document.into(),
                version: Seq::new(1),
                added_at: at,
                put_at: at,
                put_by,
            });
            settings.note(kind, &name, setting.as_ref());
            (settings.revoked_of("a"), settings.revoked_of("b"), settings.revoked.len())
        };
        assert_eq!(note("1", Some(revoked_document("a", at))), (1, 0, 1));
        assert_eq!(note("2", Some(revoked_document("a", at))), (2, 0, 2));
        assert_eq!(note("2", Some(revoked_document("a", at))), (2, 0, 2), "the same again");
        assert_eq!(note("3", Some(revoked_document("b", at))), (2, 1, 3));
        // A document without a client is nobody's.
        assert_eq!(note("4", Some(String::new())), (2, 1, 4));
        assert_eq!(settings.revoked["4"].expires_at, Timestamp::MAX);
        for (name, left) in [("1", (1, 1, 3)), ("3", (1, 0, 2)), ("2", (0, 0, 1))] {
            let name: SettingName = name.parse().unwrap();
            settings.note(SettingKind::RevokedToken, &name, None);
            assert_eq!((settings.revoked_of("a"), settings.revoked_of("b"), settings.revoked.len()), left);
        }
    }
}
