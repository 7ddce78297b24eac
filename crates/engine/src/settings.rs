//! Settings of the installation: documents by kind and name, such as its tenants and the issuers whose tokens it accepts.
//!
//! The engine keeps the documents and decides which version of one a request replaces. What is in them is none of its
//! business: `api` defines their content.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use types::{ActorId, DigestBuilder, Seq, SettingName, TenantId, Timestamp};

use crate::command::{Execute, Look};
use crate::decide::Recording;
use crate::entry::{Fact, Header};
use crate::query::{Setting as AskedSetting, Settings as AskedSettings};
use crate::{Answered, Engine, Made, PAGE_MAX, Page, Request, Sink};

/// The longest document of a setting, in bytes.
pub const SETTING_BYTES_MAX: usize = 16 * 1024;
/// The most settings of a kind.
pub const SETTINGS_MAX: usize = 65_536;
/// The most changes that the engine remembers for those who follow them.
const CHANGES_KEPT: usize = 65_536;

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingKind {
    /// A tenant of the installation.
    Tenant,
    /// An issuer whose access tokens are accepted.
    Issuer,
    /// A client of the built-in issuer.
    Client,
    /// A role: a named set of scopes.
    Role,
    /// An access token that was revoked before it expired.
    RevokedToken,
    /// The public half of a key with which the built-in issuer signs.
    SigningKey,
}

impl SettingKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Tenant, Self::Issuer, Self::Client, Self::Role, Self::RevokedToken, Self::SigningKey];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Role => "role",
            Self::RevokedToken => "revoked_token",
            Self::SigningKey => "signing_key",
        }
    }
}

/// A fact about settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingFact {
    /// A setting was added, or its document replaced.
    Put { kind: SettingKind, name: SettingName, document: Arc<str> },
    /// A setting was removed.
    Removed { kind: SettingKind, name: SettingName },
}

/// A setting as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub kind: SettingKind,
    pub name: SettingName,
    /// JSON in the form that `api` writes.
    pub document: Arc<str>,
    /// The entry that put the document.
    pub version: Seq,
    /// When the setting was added. A setting that was removed and added again is a new one.
    pub added_at: Timestamp,
    /// When the document was put.
    pub put_at: Timestamp,
    /// Who put the document. The number is one of this tenant's principals.
    pub put_by: (TenantId, ActorId),
}

/// The state of a setting that a request expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any state.
    Any,
    /// There is none with this kind and name.
    Absent,
    /// The document that this entry put.
    Version(Seq),
}

/// Adds a setting, or replaces its document. If the setting has this document already, nothing changes, whatever state the
/// request expects: a retry finds what the first attempt put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSetting {
    pub kind: SettingKind,
    pub name: SettingName,
    pub document: Arc<str>,
    pub expected: Expected,
}

/// Removes a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSetting {
    pub kind: SettingKind,
    pub name: SettingName,
    pub expected: Expected,
}

/// Why a change of a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingRefusal {
    #[error("{} `{name}` not found", kind.name())]
    NotFound { kind: SettingKind, name: SettingName },
    #[error("{} `{name}` exists with other content", kind.name())]
    Exists { kind: SettingKind, name: SettingName },
    /// The setting is not the version that the request expects.
    #[error("the present version of {} `{name}` is {present}, expected {expected}", kind.name())]
    Changed { kind: SettingKind, name: SettingName, present: Seq, expected: Seq },
    #[error("the document of {} `{name}` has {bytes} bytes, at most {SETTING_BYTES_MAX} are allowed", kind.name())]
    TooLarge { kind: SettingKind, name: SettingName, bytes: usize },
    #[error("there are {SETTINGS_MAX} settings of the kind `{}`, which is the limit", kind.name())]
    TooMany { kind: SettingKind },
}

/// What changed since somebody asked last.
#[derive(Debug)]
pub struct ChangedSettings {
    /// True if these are all settings that exist: whoever knows others must forget them.
    pub are_all: bool,
    /// The settings as they are now, in order of their last change; `None` for one that was removed. One that changed
    /// several times may be there several times.
    pub changed: Vec<(SettingKind, SettingName, Option<Setting>)>,
}

/// All settings: the fold of the facts about them.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    kept: BTreeMap<SettingKind, BTreeMap<SettingName, Setting>>,
    /// How many facts there were since the start.
    changes: usize,
    /// The settings that the last of these facts were about, the oldest first.
    changed: VecDeque<(SettingKind, SettingName)>,
}

impl Settings {
    fn find(&self, kind: SettingKind, name: &SettingName) -> Option<&Setting> {
        self.kept.get(&kind)?.get(name)
    }

    fn all(&self) -> impl Iterator<Item = &Setting> {
        self.kept.values().flat_map(BTreeMap::values)
    }

    fn since(&self, known: usize) -> ChangedSettings {
        let missed = self.changes.saturating_sub(known);
        let Some(first) = self.changed.len().checked_sub(missed).filter(|_| known > 0) else {
            let all = self.all().map(|known| (known.kind, known.name.clone(), Some(known.clone())));
            return ChangedSettings { are_all: true, changed: all.collect() };
        };
        let changed = self.changed.range(first..);
        let changed = changed.map(|(kind, name)| (*kind, name.clone(), self.find(*kind, name).cloned()));
        ChangedSettings { are_all: false, changed: changed.collect() }
    }

    pub(crate) fn apply(&mut self, header: &Header, fact: &SettingFact) {
        let (kind, name) = match fact {
            SettingFact::Put { kind, name, document } => {
                let of_kind = self.kept.entry(*kind).or_default();
                let put = Setting {
                    kind: *kind,
                    name: name.clone(),
                    document: Arc::clone(document),
                    version: header.seq,
                    added_at: of_kind.get(name).map_or(header.decided_at, |known| known.added_at),
                    put_at: header.decided_at,
                    put_by: (header.tenant, header.actor),
                };
                of_kind.insert(name.clone(), put);
                (kind, name)
            }
            SettingFact::Removed { kind, name } => {
                let removed = self.kept.get_mut(kind).and_then(|of_kind| of_kind.remove(name));
                assert!(removed.is_some(), "ENG-31: a setting that is removed exists");
                (kind, name)
            }
        };
        self.changes = self.changes.saturating_add(1);
        self.changed.push_back((*kind, name.clone()));
        if self.changed.len() > CHANGES_KEPT {
            self.changed.pop_front();
        }
    }
}

impl SettingFact {
    /// Adds the new state to a digest.
    pub(crate) fn digest_into(&self, header: &Header, builder: &mut DigestBuilder) {
        let (what, kind, name) = match self {
            Self::Put { kind, name, .. } => (&b"setting_put"[..], kind, name),
            Self::Removed { kind, name } => (&b"setting_removed"[..], kind, name),
        };
        builder.bytes(what).bytes(kind.name().as_bytes()).bytes(name.as_str().as_bytes());
        if let Self::Put { document, .. } = self {
            builder.bytes(document.as_bytes()).u64(u64::from(header.tenant.get())).u64(header.actor.get());
        }
    }
}

/// The decision about a change that is not refused.
enum Judged {
    /// The setting has this document already.
    Before(Box<Setting>),
    Now(SettingFact),
}

impl PutSetting {
    fn judge(&self, engine: &Engine) -> Result<Judged, SettingRefusal> {
        let Self { kind, name, document, expected } = self;
        let (kind, bytes) = (*kind, document.len());
        if bytes > SETTING_BYTES_MAX {
            return Err(SettingRefusal::TooLarge { kind, name: name.clone(), bytes });
        }
        let settings = &engine.state.settings;
        let known = settings.find(kind, name);
        if let Some(known) = known.filter(|known| known.document == *document) {
            return Ok(Judged::Before(Box::new(known.clone())));
        }
        expected.check(kind, name, known)?;
        let count = settings.kept.get(&kind).map_or(0, BTreeMap::len);
        if known.is_none() && count >= SETTINGS_MAX {
            return Err(SettingRefusal::TooMany { kind });
        }
        Ok(Judged::Now(SettingFact::Put { kind, name: name.clone(), document: Arc::clone(document) }))
    }
}

impl RemoveSetting {
    fn judge(&self, engine: &Engine) -> Result<SettingFact, SettingRefusal> {
        let Self { kind, name, expected } = self;
        let known = engine.state.settings.find(*kind, name);
        expected.check(*kind, name, known)?;
        match known {
            Some(_) => Ok(SettingFact::Removed { kind: *kind, name: name.clone() }),
            None => Err(SettingRefusal::NotFound { kind: *kind, name: name.clone() }),
        }
    }
}

impl Expected {
    fn check(self, kind: SettingKind, name: &SettingName, known: Option<&Setting>) -> Result<(), SettingRefusal> {
        match (self, known) {
            (Self::Any, _) | (Self::Absent, None) => Ok(()),
            (Self::Version(expected), Some(known)) if known.version == expected => Ok(()),
            (Self::Absent, Some(_)) => Err(SettingRefusal::Exists { kind, name: name.clone() }),
            (Self::Version(_), None) => Err(SettingRefusal::NotFound { kind, name: name.clone() }),
            (Self::Version(expected), Some(known)) => {
                Err(SettingRefusal::Changed { kind, name: name.clone(), present: known.version, expected })
            }
        }
    }
}

impl Execute for PutSetting {
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        match self.judge(engine)? {
            Judged::Before(known) => Ok((Made::Before, known)),
            Judged::Now(fact) => {
                engine.commit_setting(now, request, fact, sink);
                let setting = engine.setting(self.kind, &self.name).cloned().map(Box::new);
                engine.journal_digest(now, sink);
                let setting = setting.ok_or(SettingRefusal::NotFound { kind: self.kind, name: self.name.clone() })?;
                Ok((Made::Now, setting))
            }
        }
    }

    fn without_entry(&self, engine: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        match self.judge(engine) {
            Ok(Judged::Before(known)) => Some(Ok((Made::Before, known))),
            Ok(Judged::Now(_)) => None,
            Err(refusal) => Some(Err(refusal.into())),
        }
    }
}

impl Execute for RemoveSetting {
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let fact = self.judge(engine)?;
        engine.commit_setting(now, request, fact, sink);
        engine.journal_digest(now, sink);
        Ok(Made::Now)
    }

    fn without_entry(&self, engine: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        self.judge(engine).err().map(|refusal| Err(refusal.into()))
    }
}

impl Look for AskedSetting {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let Self { kind, name } = self;
        let setting = engine.setting(*kind, name).cloned().map(Box::new);
        Ok(setting.ok_or_else(|| SettingRefusal::NotFound { kind: *kind, name: name.clone() })?)
    }
}

impl Look for AskedSettings {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let limit = self.limit.min(PAGE_MAX);
        let Some(of_kind) = engine.state.settings.kept.get(&self.kind) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let after = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut left = of_kind.range::<SettingName, _>((after, Bound::Unbounded));
        let items: Vec<Setting> = left.by_ref().take(limit).map(|(_, known)| known.clone()).collect();
        let next = items.last().map(|last| last.name.clone()).filter(|_| left.next().is_some());
        Ok(Page { items, next })
    }
}

impl Engine {
    /// The setting with this kind and name.
    pub fn setting(&self, kind: SettingKind, name: &SettingName) -> Option<&Setting> {
        self.state.settings.find(kind, name)
    }

    /// All settings, by kind and name.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.state.settings.all()
    }

    /// How often a setting was put or removed since this engine was created.
    pub fn setting_changes(&self) -> usize {
        self.state.settings.changes
    }

    /// What was put and removed after the first `known` changes. If the engine does not remember all of these any more, or
    /// if nothing is known, it returns all settings.
    pub fn settings_changed_since(&self, known: usize) -> ChangedSettings {
        self.state.settings.since(known)
    }

    /// Makes the entry of a setting. It has the tenant of the request, because settings of the installation are changed by
    /// principals of a tenant.
    fn commit_setting(&mut self, now: Timestamp, request: &Request, fact: SettingFact, sink: &mut dyn Sink) {
        let recording = Recording { tenant: Some(request.tenant), ..Recording::of(Fact::Setting(fact)) };
        self.commit(now, request.actor, request.id, recording, sink);
    }
}
