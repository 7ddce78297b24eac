//! Payments that arrive together: two payments never both pass a limit that allows one.

use std::sync::Barrier;

use fixtures::WALLET;
use serde_json::json;

use crate::harness::first_start;

#[test]
fn concurrent_payments_never_both_pass_a_limit() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    // (amount, how many may pass): the limits are five payments an hour and 1,000.00 a day.
    for (round, (amount, allowed)) in [(100, 5), (60_000, 1), (30_000, 3), (100_000, 1)].into_iter().enumerate() {
        const CALLERS: usize = 24;
        let customer = format!("customer-{round}");
        let base = (round as u128 + 1) * 1_000;
        assert_eq!(client.pay(base, "top_up", 10_000_000, &json!({"customer": customer})).text("status"), "posted");
        let barrier = Barrier::new(CALLERS);
        let verdicts: Vec<(String, String)> = std::thread::scope(|scope| {
            let callers: Vec<_> = (1..=CALLERS)
                .map(|caller| {
                    let (client, customer, barrier) = (client.clone(), &customer, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let reply = client.pay(base + caller as u128, "card", amount, &json!({"customer": customer}));
                        (reply.text("status").to_owned(), reply.text("verdict").to_owned())
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().expect("a caller ends")).collect()
        });
        let held = verdicts.iter().filter(|(status, verdict)| status == "held" && verdict == "approve").count();
        let declined = verdicts.iter().filter(|(status, _)| status == "declined").count();
        assert_eq!((held, declined), (allowed, CALLERS - allowed), "payments of {amount}");
        let with_fee = u128::from(amount + amount / 100);
        assert_eq!(client.wallet(&customer).1, allowed as u128 * with_fee, "only accepted payments are reserved");
    }
}

#[test]
fn concurrent_parts_never_exceed_what_was_authorised() {
    const CALLERS: usize = 200;
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    client.pay(1, "top_up", 5_000, &json!({"customer": "alice"}));
    assert_eq!(client.pay(2, "card", 1_000, &json!({"customer": "alice"})).text("status"), "held");
    // Returns the sums of what was accepted, by verb.
    let all_at_once = |wave: &str, verb_of: fn(usize) -> (&'static str, u64)| {
        let barrier = Barrier::new(CALLERS);
        let accepted: Vec<(&str, u64)> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (client, barrier) = (client.clone(), &barrier);
                    scope.spawn(move || {
                        let (verb, amount) = verb_of(caller);
                        barrier.wait();
                        let portion = json!({"amount": amount.to_string()});
                        let reply = client.part(2, verb, &format!("{wave}-{caller}"), &portion);
                        let known = ["amount_exceeds_held", "amount_exceeds_captured", "payment_status_conflict"];
                        assert!(reply.status == 200 || known.contains(&reply.code()), "{reply:?}");
                        (verb, if reply.status == 200 { amount } else { 0 })
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().expect("a caller ends")).collect()
        });
        ["capture", "void", "refund"].map(|verb| {
            accepted.iter().filter(|(accepted, _)| *accepted == verb).map(|(_, amount)| *amount).sum::<u64>()
        })
    };
    let number = |field: &str| client.get("/v1/payments/2").text(field).parse::<u64>().expect("a number");
    let [captured, released, refunded] =
        all_at_once("first", |caller| [("capture", 70), ("void", 60), ("refund", 50)][caller % 3]);
    assert_eq!([number("captured"), number("released"), number("refunded")], [captured, released, refunded]);
    assert!(captured + released <= 1_000 && refunded <= captured, "{captured} {released} {refunded}");
    // What is left is too little for a part.
    assert!(captured + released > 1_000 - 70, "{captured} {released}");
    client.verb("2", "capture", "rest");
    let captured = number("captured");
    let [_, _, more] = all_at_once("second", |_| ("refund", 45));
    assert_eq!((number("captured"), number("refunded")), (captured, refunded + more));
    assert!(refunded + more <= captured && refunded + more + 45 > captured, "{refunded} + {more} of {captured}");
    if refunded + more < captured {
        assert_eq!(client.verb("2", "refund", "all").text("status"), "refunded");
    }
    assert_eq!(client.get("/v1/payments/2").text("status"), "refunded");
    assert_eq!(client.wallet("alice"), (5_000, 0));
}

#[test]
fn one_id_sent_by_many_callers_at_once_is_decided_once() {
    let (_data, _server, client) = first_start(&[]);
    assert_eq!(client.activate(WALLET).status, 201);
    client.pay(1, "top_up", 100_000, &json!({"customer": "alice"}));
    let replies: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let client = client.clone();
                scope.spawn(move || client.pay(2, "transfer", 700, &json!({"customer": "alice", "recipient": "bob"})))
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller ends")).collect()
    });
    assert!(replies.iter().all(|reply| reply.text("status") == "posted"), "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| reply.status == 201 && !reply.replayed).count(), 1, "{replies:?}");
    assert!(replies.windows(2).all(|pair| pair[0].body == pair[1].body), "every caller gets the same response");
    assert_eq!(client.wallet("bob"), (700, 0));
}

#[test]
fn a_full_queue_tells_when_to_retry() {
    let (_data, _server, client) = first_start(&["--queue", "1"]);
    let refused = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..32_u32)
            .map(|caller| {
                let client = client.clone();
                scope.spawn(move || {
                    (0..100).find_map(|round| {
                        let id = caller * 1_000 + round + 1;
                        let reply = client.post("/v1/ledgers", &json!({"id": id, "asset": "EUR/2"}));
                        (reply.status != 201).then_some(reply)
                    })
                })
            })
            .collect();
        callers.into_iter().filter_map(|caller| caller.join().expect("a caller ends")).collect::<Vec<_>>()
    });
    assert!(!refused.is_empty(), "32 concurrent callers overflow a queue of one");
    for reply in refused {
        assert_eq!((reply.status, reply.code(), reply.retry_after.as_deref()), (503, "queue_full", Some("1")));
    }
    assert_eq!(client.get("/readyz").status, 200, "the server is ready again afterwards");
}
