//! The keys of the configuration file. Each one is a flag of `finaira serve`, which defines its values, default and help.

/// A key in a section of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// The flag without `--`.
    pub(super) flag: &'static str,
    pub(super) form: Form,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    /// `true` or `false`, which the flag calls `on` and `off`.
    Switch,
}

impl Form {
    /// The form, as a message says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
            Self::Switch => "true or false",
        }
    }
}

/// The sections, in the order of the reference, with what they are about.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("storage", "Where the data is, and how it is kept."),
    ("listen", "Where the server accepts connections."),
    ("tls", "TLS 1.3, and the certificates of clients."),
    ("credentials", "Where the first credential comes from, and how it reaches its owner."),
    ("tokens", "Access tokens of other issuers."),
    ("tenants", "Tenants other than the first."),
    ("limits", "Bounds."),
    ("clock", "When the clock is believed."),
    ("proofs", "The Merkle tree over the journal, and the key that signs its checkpoints."),
    ("logs", "What is logged, and how."),
];

/// All keys, in the order of the reference.
pub(super) const KEYS: &[Key] = &[
    key("storage", "data", "data", Form::Text),
    key("storage", "segment-bytes", "segment-bytes", Form::Number),
    key("storage", "disk-reserve", "disk-reserve", Form::Number),
    key("storage", "scrub-period", "scrub-period", Form::Text),
    key("listen", "address", "listen", Form::Text),
    key("listen", "public-url", "public-url", Form::Text),
    key("listen", "allow-plain-http", "allow-plain-http", Form::Switch),
    key("tls", "certificate", "tls-certificate", Form::Text),
    key("tls", "key", "tls-key", Form::Text),
    key("tls", "client-auth", "tls-client-auth", Form::Text),
    key("tls", "client-ca", "tls-client-ca", Form::Text),
    key("credentials", "first-credential-file", "first-credential-file", Form::Text),
    key("credentials", "first-api-key-file", "first-api-key-file", Form::Text),
    key("tokens", "issuer-ca", "issuer-ca", Form::Text),
    key("tenants", "idle", "tenant-idle", Form::Text),
    key("tenants", "open", "open-tenants", Form::Number),
    key("limits", "queue", "queue", Form::Number),
    key("limits", "client-requests-per-second", "client-requests-per-second", Form::Number),
    key("limits", "tenant-requests-per-second", "tenant-requests-per-second", Form::Number),
    key("limits", "failed-requests-per-second", "failed-requests-per-second", Form::Number),
    key("limits", "lag-max", "lag-max", Form::Text),
    key("limits", "queue-wait-max", "queue-wait-max", Form::Text),
    key("clock", "ahead-max", "clock-ahead-max", Form::Text),
    key("clock", "behind-max", "clock-behind-max", Form::Text),
    key("clock", "gap-max", "clock-gap-max", Form::Text),
    key("clock", "trust-sync", "clock-trust-sync", Form::Switch),
    key("proofs", "enabled", "proofs", Form::Switch),
    key("proofs", "key", "proof-key", Form::Text),
    key("logs", "format", "log-format", Form::Text),
    key("logs", "level", "log-level", Form::Text),
];

/// Flags that no file may set, because they are for one start only, or name the file itself.
#[cfg(test)]
pub(super) const NOT_IN_FILES: &[&str] = &["config", "new-api-key", "principal", "new-proof-key", "confirm-clock"];

const fn key(section: &'static str, name: &'static str, flag: &'static str, form: Form) -> Key {
    Key { section, name, flag, form }
}
