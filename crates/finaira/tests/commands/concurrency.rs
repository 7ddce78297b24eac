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
