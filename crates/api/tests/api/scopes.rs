//! The scopes of API keys.

use api::routes::{Answer, Method};
use api::{Operation, ROUTES, Role, Route, Scope};

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

/// Packed queries are sent as a body, so they are POST requests.
const PACKED_QUERIES: [Operation; 6] = [
    Operation::LookupAccounts,
    Operation::LookupTransfers,
    Operation::AccountTransfers,
    Operation::AccountBalances,
    Operation::QueryAccounts,
    Operation::QueryTransfers,
];

fn changes_something(route: &Route) -> bool {
    route.method != Method::Get && route.scope.is_some() && !PACKED_QUERIES.contains(&route.operation)
}

#[test]
fn every_operation_needs_one_scope_or_none_because_it_shows_no_data() {
    let open = [
        // The endpoints of the built-in issuer authenticate its clients themselves.
        Operation::GetIssuerMetadata,
        Operation::GetOpenIdConfiguration,
        Operation::GetIssuerKeys,
        Operation::IssueToken,
        Operation::IntrospectToken,
        Operation::RevokeToken,
        Operation::Health,
        Operation::Ready,
        Operation::Metrics,
        Operation::OpenApi,
    ];
    for route in ROUTES {
        let count = route.scope.map(|scope| scope.names().count());
        let expected = if open.contains(&route.operation) { None } else { Some(1) };
        assert_eq!(count, expected, "{}", route.path);
    }
}

#[test]
fn what_changes_something_needs_no_scope_that_only_reads() {
    for route in ROUTES.iter().filter(|route| route.scope.is_some()) {
        let reads = route.scope.is_some_and(|scope| scope.names().all(|name| name.ends_with(":read")));
        assert_eq!(reads, !changes_something(route), "{}", route.path);
    }
    for operation in PACKED_QUERIES {
        let route = ROUTES.iter().find(|route| route.operation == operation).expect("a route");
        assert!(matches!(route.answer, Answer::Packed(_)), "{}", route.path);
    }
}

#[test]
fn roles_have_the_scopes_of_their_job_and_no_others() {
    let may = |role: &str, operation: Operation| {
        let route = ROUTES.iter().find(|route| route.operation == operation).expect("a route");
        let role = Role::named(role).expect("a role");
        route.scope.is_none_or(|scope| role.scopes.contains(scope))
    };
    let names: Vec<&str> = Role::TABLE.iter().map(|role| role.name).collect();
    assert_eq!(names, ["administrator", "operator", "developer", "analyst", "reviewer", "auditor"]);
    for route in ROUTES {
        assert!(may("administrator", route.operation), "{}", route.path);
        assert_eq!(may("auditor", route.operation), !changes_something(route), "{}", route.path);
    }
    let of_money = [Operation::CreateTransfer, Operation::CreateTransfers, Operation::CreatePayment];
    for (role, scopes) in Role::TABLE.iter().map(|role| (role.name, role.scopes)) {
        let manages = scopes.contains(Scope::KEYS_MANAGE);
        assert_eq!(manages, role == "administrator", "only administrators make keys, found {role}");
        for operation in of_money {
            let moves = ["administrator", "developer"].contains(&role);
            assert_eq!(may(role, operation), moves, "{role} and {operation:?}");
        }
        let sees_people = ["administrator", "reviewer", "auditor"].contains(&role);
        assert_eq!(may(role, Operation::GetPersonalData), sees_people, "{role}");
        let reviews = ["administrator", "reviewer"].contains(&role);
        assert_eq!(scopes.contains(Scope::REVIEWS_WRITE), reviews, "{role}");
        let decides_rules = ["administrator", "analyst"].contains(&role);
        assert_eq!(may(role, Operation::ActivatePolicy), decides_rules, "{role}");
    }
    assert_eq!(Role::named("root"), None);
}
