//! Events about settings of the installation.

use engine::SettingFact;
use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;

/// A setting of the installation was added, or its document replaced.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SettingPut {
    /// What the setting is about: `tenant`, `issuer`, `client`, `role`, `revoked_token` or `signing_key`.
    setting: &'static str,
    /// The name of the setting among those of its kind.
    name: String,
    /// The whole content of the setting.
    #[schema(value_type = Object)]
    document: serde_json::Value,
}

/// A setting of the installation was removed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SettingRemoved {
    /// What the setting was about.
    setting: &'static str,
    /// The name that it had.
    name: String,
}

pub(super) fn setting_data(fact: &SettingFact) -> (&'static str, EventData) {
    match fact {
        SettingFact::Put { kind, name, document } => {
            // The engine does not look into documents. A text that is no JSON is shown as a text.
            let shown = serde_json::from_str(document).unwrap_or_else(|_unparsed| (**document).into());
            let data = SettingPut { setting: kind.name(), name: name.to_string(), document: shown };
            ("setting_put", EventData::SettingPut(data))
        }
        SettingFact::Removed { kind, name } => {
            let data = SettingRemoved { setting: kind.name(), name: name.to_string() };
            ("setting_removed", EventData::SettingRemoved(data))
        }
    }
}
