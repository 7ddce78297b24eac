//! Secrets are not printed, and their files are closed to other users.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use datadir::{NewSecretFile, Secret};

#[test]
fn no_format_shows_a_secret() {
    let secret = Secret::new("fin_1_abc".to_owned());
    assert_eq!(format!("{secret} {secret:?} {:?} {secret:#?}", Some(&secret)), "… … Some(…) …");
    assert_eq!(secret.reveal(), "fin_1_abc");
}

#[test]
fn files_that_all_users_may_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "  fin_1_abc \nsecond line\n").unwrap();
    for (mode, is_accepted) in
        [(0o600, true), (0o440, true), (0o400, true), (0o644, false), (0o604, false), (0o602, false)]
    {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let read = Secret::read(&path);
        assert_eq!(read.is_ok(), is_accepted, "{mode:o}");
        match read {
            Ok(secret) => assert_eq!(secret.reveal(), "fin_1_abc"),
            Err(error) => assert!(error.to_string().contains(&format!("(mode {mode:04o})")), "{error}"),
        }
    }
}

#[test]
fn a_new_file_is_its_owners_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    drop(NewSecretFile::create(&path).unwrap());
    NewSecretFile::create(&path).unwrap().write(&Secret::new("one".to_owned())).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = NewSecretFile::create(&path).unwrap_err().to_string();
    assert!(refused.contains("does not exist yet"), "{refused}");
    assert_eq!(Secret::read(&path).unwrap().reveal(), "one");
}
