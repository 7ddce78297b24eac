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
    pub(crate) revoked: BTreeMap<String, Timestamp>,
}

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
                self.revoked.remove(name);
                if let Some(setting) = setting {
                    // Without a time, it stays revoked.
                    let expires_at = expiry_of(&setting.document).unwrap_or(Timestamp::MAX);
                    self.revoked.insert(name.to_owned(), expires_at);
                }
            }
            SettingKind::Tenant | SettingKind::SigningKey => {}
        }
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

/// The document of a token that was revoked.
pub(crate) fn revoked_document(expires_at: Timestamp) -> String {
    serde_json::json!({ "expires_at": expires_at.to_string() }).to_string()
}

fn expiry_of(document: &str) -> Option<Timestamp> {
    let document: serde_json::Value = serde_json::from_str(document).ok()?;
    document.get("expires_at")?.as_str()?.parse().ok()
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
