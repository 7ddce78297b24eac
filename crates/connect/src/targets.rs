//! The kinds of targets, by their names in the configuration.

use std::path::Path;

use datadir::Secret;

use crate::target::Target;

type Make = fn(toml::Table) -> Result<Box<dyn Target>, String>;

/// The kinds of targets that this build has, with the name of each in the configuration.
pub const KINDS: &[(&str, Make)] = &[
    #[cfg(feature = "objects")]
    (crate::objects::ARCHIVE, crate::objects::make_archive),
    #[cfg(feature = "cassandra")]
    ("cassandra", crate::cassandra::make),
    #[cfg(feature = "kafka")]
    ("kafka", crate::kafka::make),
    #[cfg(feature = "mongodb")]
    ("mongodb", crate::mongodb::make),
    #[cfg(feature = "mysql")]
    ("mysql", crate::mysql::make),
    #[cfg(feature = "nats")]
    ("nats", crate::nats::make),
    #[cfg(feature = "objects")]
    (crate::objects::PARQUET, crate::objects::make_parquet),
    #[cfg(feature = "postgres")]
    ("postgres", crate::postgres::make),
    #[cfg(feature = "rabbitmq")]
    ("rabbitmq", crate::rabbitmq::make),
    #[cfg(feature = "redis")]
    ("redis", crate::redis::make),
];

/// Makes a target of a kind from its settings. It is not connected yet.
///
/// # Errors
/// When there is no such kind, or a setting is missing, unknown or malformed. The message contains no secret.
pub fn make(kind: &str, settings: toml::Table) -> Result<Box<dyn Target>, String> {
    let Some((_, make)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<String> = KINDS.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(format!("found the kind `{kind}`, expected one of {}", names.join(", ")));
    };
    make(settings)
}

/// Reads a secret from a file or from the environment. The configuration names it, and does not contain it.
///
/// # Errors
/// When both are named, or the named one cannot be read.
pub fn secret(file: Option<&Path>, variable: Option<&str>, name: &str) -> Result<Option<Secret>, String> {
    match (file, variable) {
        (Some(file), None) => Secret::read(file).map(Some).map_err(|error| error.to_string()),
        (None, Some(variable)) => {
            let found = std::env::var_os(variable);
            let found = found
                .ok_or_else(|| format!("`{name}_env` names the environment variable {variable}, which is not set"))?;
            // The error of the conversion would quote the secret.
            let text =
                found.into_string().map_err(|_secret| format!("the environment variable {variable} is not UTF-8"))?;
            Ok(Some(Secret::new(text)))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(format!("found both `{name}_file` and `{name}_env`, expected one of them")),
    }
}
