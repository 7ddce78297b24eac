//! Checks the keys beside a journal, and those of the built-in issuer.

use std::io;
use std::path::Path;

use datadir::{KEY_LOG, KEY_OWNER, PROOF_KEY, ProofKeyError, ROOT_KEY, checked_key, known_keys, log_name, random};
use disk::{Directory, Disk as _, DiskFile as _};
use issuer::KeyRing;
use journal::Part;
use types::{Origin, ShardId};
use vault::{RootKey, Vault};

use crate::verify::{Place, Verification, VerifyError, io_error};

/// The file of the keys of the built-in issuer, in the directory of the system.
const SIGNING_KEYS: &str = "issuer/signing.keys";
const NEW_SIGNING_KEYS: &str = "restore the file from its copy, or remove it: then the next start makes new keys, which ends all tokens of the built-in issuer";
const FROM_A_COPY: &str = "restore the keys from their copy; they cannot be rebuilt";

/// Checks that the keys exist, can be opened, and belong to one of the journal's histories.
pub(super) fn check_keys(
    keys: &Directory,
    (lineage, shard): (&[Part], ShardId),
    all: &mut Verification,
) -> Result<(), VerifyError> {
    let read = |name: &str| -> Result<Option<Vec<u8>>, VerifyError> {
        let failed = || io_error(format!("read {name} of the keys"));
        let Some(file) = keys.open(name).map_err(failed())? else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(file.len().map_err(failed())?).unwrap_or(0)];
        let count = file.read_at(&mut bytes, 0).map_err(failed())?;
        bytes.truncate(count);
        Ok(Some(bytes))
    };
    let (origin, root, log) = (read(KEY_OWNER)?, read(ROOT_KEY)?, read(KEY_LOG)?);
    let (Some(origin), Some(root), Some(log)) = (origin, root, log) else {
        all.found(Place::Keys, format!("{KEY_OWNER}, {ROOT_KEY} or {KEY_LOG} is missing"), FROM_A_COPY);
        return Ok(());
    };
    let owner =
        origin.first_chunk().filter(|_| origin.len() == 16).map(|bytes| Origin::new(u128::from_le_bytes(*bytes)));
    if !lineage.iter().any(|part| Some(part.identity.origin) == owner) {
        let named = owner.map_or_else(|| "nothing".to_owned(), |owner| owner.to_string());
        let what = format!("{KEY_OWNER} names {named}, which is not one of this journal's histories");
        all.found(Place::Keys, what, "put the keys and the journal that belong together into one data directory");
    }
    let Ok(root) = <[u8; 32]>::try_from(root.as_slice()) else {
        all.found(Place::Keys, format!("{ROOT_KEY} has {} bytes, expected 32", root.len()), FROM_A_COPY);
        return Ok(());
    };
    match Vault::open(&RootKey::from_bytes(root), &log, &mut random) {
        Ok((vault, accepted)) => {
            all.checked(Place::Keys, "keys of personal data, unwrapped with the root key", vault.subjects() as u64);
            if accepted == 0 {
                all.found(Place::Keys, format!("{KEY_LOG} is empty although the journal has entries"), FROM_A_COPY);
            } else if accepted < log.len() {
                let cut = log.len() - accepted;
                all.notes.push(format!(
                    "{KEY_LOG} ends with an incompletely written key of {cut} bytes, which the next start cuts off"
                ));
            }
        }
        Err(error) => all.found(Place::Keys, format!("{KEY_LOG} cannot be opened: {error}"), FROM_A_COPY),
    }
    check_proof_key(keys, (lineage, shard), all);
    Ok(())
}

/// Checks that the key stored here is the one that signed last. A key that is stored elsewhere cannot be checked.
fn check_proof_key(keys: &Directory, (lineage, shard): (&[Part], ShardId), all: &mut Verification) {
    let Some(name) = lineage.last().map(|part| log_name(part.identity.origin, shard)) else { return };
    // Reading the checkpoints reports an invalid list.
    let Ok(known) = known_keys(keys) else { return };
    match checked_key(keys, &name, &known) {
        Ok(_) => {}
        Err(error @ ProofKeyError::NotTheLast { .. }) if keys.open(PROOF_KEY).is_ok_and(|file| file.is_none()) => {
            all.notes.push(format!("{PROOF_KEY} does not exist: {error}"));
        }
        Err(error) => all.found(Place::Keys, error.to_string(), FROM_A_COPY),
    }
}

/// Checks the keys of the built-in issuer, if there are any.
pub(super) fn check_signing_keys(system: &Path, all: &mut Verification) -> Result<(), VerifyError> {
    let bytes = match std::fs::read(system.join(SIGNING_KEYS)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        read => read.map_err(io_error(format!("read {SIGNING_KEYS}")))?,
    };
    match KeyRing::from_document(&bytes) {
        Ok(keys) => all.checked(Place::Keys, "keys of the built-in issuer", keys.kids().count() as u64),
        Err(error) => all.found(Place::Keys, format!("{SIGNING_KEYS}: {error}"), NEW_SIGNING_KEYS),
    }
    Ok(())
}
