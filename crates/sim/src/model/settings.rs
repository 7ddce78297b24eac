//! Settings of the installation, by their rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Engine, Expected, Header, PutSetting, RemoveSetting, Setting, SettingFact, SettingKind};
use types::SettingName;

use super::ensure;

/// All settings.
#[derive(Debug, Default, Clone)]
pub(crate) struct Settings(BTreeMap<(SettingKind, SettingName), Setting>);

impl Settings {
    /// The expected answer to a request to put a setting.
    pub(crate) fn outcome_of_put(&self, put: &PutSetting) -> &'static str {
        let known = self.0.get(&(put.kind, put.name.clone()));
        match (known, put.expected) {
            _ if put.document.len() > 16 * 1024 => "setting_too_large",
            (Some(known), _) if known.document == put.document => "before",
            (_, Expected::Any) | (None, Expected::Absent) => "now",
            (Some(_), Expected::Absent) => "setting_exists",
            (None, Expected::Version(_)) => "setting_not_found",
            (Some(known), Expected::Version(version)) if known.version == version => "now",
            (Some(_), Expected::Version(_)) => "setting_changed",
        }
    }

    /// The expected answer to a request to remove a setting.
    pub(crate) fn outcome_of_removal(&self, remove: &RemoveSetting) -> &'static str {
        match (self.0.get(&(remove.kind, remove.name.clone())), remove.expected) {
            (None, _) => "setting_not_found",
            (Some(_), Expected::Any) => "now",
            (Some(_), Expected::Absent) => "setting_exists",
            (Some(known), Expected::Version(version)) if known.version == version => "now",
            (Some(_), Expected::Version(_)) => "setting_changed",
        }
    }

    /// Whether a setting is shown as it is.
    pub(crate) fn shows(&self, told: &Setting) -> bool {
        self.0.get(&(told.kind, told.name.clone())) == Some(told)
    }

    pub(crate) fn knows(&self, kind: SettingKind, name: &SettingName) -> bool {
        self.0.contains_key(&(kind, name.clone()))
    }

    /// The number of settings of a kind after this name.
    pub(crate) fn count_after(&self, kind: SettingKind, after: Option<&SettingName>) -> usize {
        self.0.keys().filter(|(other, name)| *other == kind && after.is_none_or(|after| name > after)).count()
    }

    /// Applies a fact. Fails if something is removed that is not there.
    pub(crate) fn apply(&mut self, header: &Header, fact: &SettingFact) -> Result<(), String> {
        match fact {
            SettingFact::Put { kind, name, document } => {
                let added_at = self.0.get(&(*kind, name.clone())).map_or(header.decided_at, |known| known.added_at);
                let put = Setting {
                    kind: *kind,
                    name: name.clone(),
                    document: Arc::clone(document),
                    version: header.seq,
                    added_at,
                    put_at: header.decided_at,
                    put_by: (header.tenant, header.actor),
                };
                self.0.insert((*kind, name.clone()), put);
                Ok(())
            }
            SettingFact::Removed { kind, name } => {
                let removed = self.0.remove(&(*kind, name.clone()));
                ensure(removed.is_some(), "SIM-2", || format!("entry {} removes a setting again", header.seq))
            }
        }
    }

    /// Checks that the engine has the same settings, and tells all of them to somebody who follows it.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        let is_same = engine.settings().eq(self.0.values());
        ensure(is_same, "SIM-5", || "the engine has other settings".to_owned())?;
        let told = engine.settings_changed_since(0).changed;
        let told = told.iter().filter_map(|(.., setting)| setting.as_ref());
        ensure(told.eq(self.0.values()), "SIM-5", || "the engine tells other settings".to_owned())
    }
}
