//! Addresses of accounts, and the sums below them.

use ledger::Address;

use crate::story::{account, check, run};

#[test]
fn an_address_is_given_once_and_names_one_account() {
    check(
        "
        open A1                          created
        open A2                          created
        address A9 customers:c1          account_not_found
        address A1 customers:c1          created
        address A1 customers:c1          exists
        address A1 customers:c2          address_must_not_change
        address A2 customers:c1          address_already_taken
        together
            open A3                      created
            address A3 customers:c1      address_already_taken
            address A3 customers:c3      created
            address A3 customers:c3      exists
            address A2 customers:c3      address_already_taken
        commit
        below customers A1 A3
        ",
    );
    let world = run("open A1 created\naddress A1 a:b created");
    assert_eq!(world.ledger.account_by_address("a:b").map(|found| found.id), Some(account("A1")));
    assert_eq!(world.ledger.account_by_address("a"), None);
    assert_eq!(world.ledger.address(account("A1")), Some("a:b"));
}

#[test]
fn sums_below_a_prefix_follow_every_transfer() {
    check(
        "
        open A1                          created
        open A2                          created
        open A3                          created
        open A4                          created
        pay  T1 A1->A2 5                 created
        address A1 shops:s1              created
        address A2 shops:s1:till         created
        address A3 shops:s1-old          created
        sums_below shops pending=0+0 posted=5+5
        sums_below shops:s1:till pending=0+0 posted=0+5
        pay  T2 A2->A4 3                 created
        hold T3 A4->A3 7                 created
        sums_below shops pending=0+7 posted=8+5
        sums_below shops:s1 pending=0+0 posted=8+5
        below shops:s1 A1 A2
        below shops A1 A3 A2
        below shop
        ",
    );
}

#[test]
fn pages_of_addresses_go_on_behind_the_last() {
    let world = run("
        open A1             created
        open A2             created
        open A3             created
        address A1 a        created
        address A2 a-b      created
        address A3 a:b      created
    ");
    let page = |prefix: &str, after: Option<&str>| -> Vec<u128> {
        let after: Option<Address> = after.map(|after| after.parse().expect("an address"));
        world.ledger.accounts_below(prefix, after.as_ref(), 1).iter().map(|account| account.id.get()).collect()
    };
    assert_eq!(page("a", None), [1]);
    assert_eq!(page("a", Some("a")), [3]);
    assert_eq!(page("a", Some("a:b")), []);
    assert_eq!(page("", Some("a")), [2]);
}

#[test]
fn an_address_has_segments_of_plain_characters() {
    let segments = |count: usize| vec!["s"; count].join(":");
    let long = |count: usize| "x".repeat(count);
    for good in ["a", "customers:c42:wallet", "A-Z_0.9", &segments(16), &long(64)] {
        assert!(good.parse::<Address>().is_ok_and(|address| address.as_str() == good), "{good}");
    }
    let total = [long(64), long(64), long(64), long(61)].join(":");
    assert!(total.len() == 256 && total.parse::<Address>().is_err());
    for bad in ["", ":", "a:", ":a", "a::b", "a b", "ä", "a/b", &segments(17), &long(65)] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}
