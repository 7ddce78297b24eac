//! Metadata of accounts, transfers and payments, and the choice of indexed fields.

use crate::story::check;

#[test]
fn values_are_set_changed_removed_and_found() {
    check(
        r#"
        open A1                              created
        open A2                              created
        pay  T1 A1->A2 5                     created
        pay  T2 A1->A9 5                     credit_account_not_found
        meta A1 color="red" size=1           created
        meta T1 color="red"                  created
        meta P7 color="red"                  created
        meta A2 color="reddish"              created
        meta A9 color="red"                  account_not_found
        meta T9 color="red"                  transfer_not_found
        meta T2 color="red"                  transfer_not_found
        meta A1 color="red"                  exists
        found color="red" A1 T1
        meta A1 color="blue" size=           created
        found color="red" T1
        found color="blue" A1
        found size=1
        meta A1 size=                        exists
        together
            meta A1 size=2                   created
            meta A1 size=2                   exists
            meta A1 size=                    created
            meta A1 size=                    exists
        commit
        "#,
    );
}

#[test]
fn keys_and_values_are_bounded() {
    let (key, value) = ("k".repeat(64), "1".repeat(1_024));
    let keys = |count: usize| (0..count).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(" ");
    check(&format!(
        "
        open A1                    created
        open A2                    created
        meta A1 {key}={value}      created
        meta A1 {key}k=1           metadata_key_too_long
        meta A1 =1                 metadata_key_too_long
        meta A1 {key}={value}1     metadata_value_too_long
        meta A2 {}                 created
        meta A2 one_more=1         metadata_has_too_many_keys
        meta A2 k0= one_more=1     created
        ",
        keys(64)
    ));
}

#[test]
fn the_fields_of_a_book_that_are_indexed_are_chosen_again_each_time() {
    check(
        "
        index 9 code               ledger_not_found
        index 1 code               created
        index 1 code               exists
        index 1 user_data_128      created
        together
            index 1 code ledger    created
            index 1 code ledger    exists
        commit
        index 1                    created
        ",
    );
}
