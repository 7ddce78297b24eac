//! The scopes of API keys.

use api::Scope;

#[test]
fn a_scope_is_found_by_its_name() {
    for (scope, name, _) in Scope::TABLE {
        assert_eq!(Scope::named(name), Some(*scope));
        assert_eq!(scope.names().collect::<Vec<_>>(), [*name]);
        assert!(Scope::ALL.contains(*scope));
    }
    assert_eq!(Scope::named("everything"), None);
    assert!(!Scope::LEDGER_READ.contains(Scope::LEDGER_WRITE));
}
