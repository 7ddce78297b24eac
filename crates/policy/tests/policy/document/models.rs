//! What reads the answers of models, and the score that the policy makes of them.

use expect_test::expect;

use super::{BASE, check, problems};
use crate::support::listed;

#[test]
fn what_is_evaluated_before_a_model_cannot_read_it() {
    check("features.spend_1d > 100", "models.fraud > 0.9 && features.spend_1d > 100", &expect![""]);
    check(
        "features.spend_1d > 100",
        "models.froud > 0.9",
        &expect![[r#"
            policy.toml:53:9: rules[0].when: 'models.froud' is not declared; did you mean 'models.fraud'?
        "#]],
    );
    check(
        "[models.fraud]",
        "[features.sure]\nexpression = \"models.fraud > 0.9\"\n[models.fraud]",
        &expect![[r#"
            policy.toml:49:15: features.sure.expression: 'models.fraud' is computed later, only rules, `decision.score` and models further down can read it
        "#]],
    );
    check(
        "[models.fraud]",
        "[models.first]\nfile = \"models/fraud.onnx\"\ninputs = [\"models.fraud\", \"0\", \"0\"]\n[models.fraud]",
        &expect![[r#"
            policy.toml:50:12: models.first.inputs[0]: 'models.fraud' is computed later, only rules, `decision.score` and models further down can read it
        "#]],
    );
    check("file = \"models/fraud.onnx\"", "file = \"models/fraud.onnx\"\npayments = [\"card\"]", &expect![""]);
    check("[decision]", "[decision]\nscore = \"models.fraud * 0.5\"\n", &expect![""]);
    check(
        "[decision]",
        "[decision]\nscore = \"1\"\n",
        &expect![[r#"
            policy.toml:56:10: decision.score: expected double, found int
        "#]],
    );
    check(
        "[decision]",
        "[decision]\nscore = 1\n",
        &expect![[r#"
            policy.toml:56:9: decision.score: is an integer, expected a string
        "#]],
    );
    check(
        "[decision]",
        "[decision]\nscore = { cart = \"0.5\", topup = \"models.froud\" }\n",
        &expect![[r#"
            policy.toml:56:11: decision.score.cart: there is no payment type `cart`; did you mean `card`?
            policy.toml:56:34: decision.score.topup: 'models.froud' is not declared; did you mean 'models.fraud'?
        "#]],
    );
    // Types with other models.
    let document =
        BASE.replacen("file = \"models/fraud.onnx\"", "file = \"models/fraud.onnx\"\npayments = [\"card\"]", 1);
    let other =
        "[models.other]\nfile = \"models/fraud.onnx\"\npayments = [\"topup\"]\ninputs = [\"1\", \"2\", \"3\"]\n";
    let document = document.replacen("[decision]", &format!("{other}[decision]\nscore = \"models.fraud\""), 1);
    expect![[r#"
        policy.toml:61:10: decision.score: 'models.fraud' is not declared (in payment type `topup`; write `score` as a table with an expression for each type)
    "#]].assert_eq(&listed(&problems(&document)));
    let document = BASE.replacen("[models.fraud]\nfile = \"models/fraud.onnx\"\ninputs = [\"payment.amount\", \"features.spend_1d\", \"payment.amount > 5\"]", "", 1);
    let document = document.replacen("[decision]", "[decision]\nscore = \"0.5\"", 1);
    expect![[r#"
        policy.toml:54:9: decision.score: there is no model, so there is nothing to make a score of
    "#]]
    .assert_eq(&listed(&problems(&document)));
    // The model has a problem, so nothing is said about what reads it.
    let document = BASE.replacen("models/fraud.onnx", "models/froud.onnx", 1);
    let document = document.replacen("[decision]", "[decision]\nscore = \"models.fraud\"", 1);
    expect![[r#"
        policy.toml:49:8: models.fraud.file: there is no file `models/froud.onnx` beside policy.toml
    "#]]
    .assert_eq(&listed(&problems(&document)));
}
