//! A caller whose payments a policy decides: transfers between two of its own customers, and card payments that are
//! held, sometimes raised, and then captured or voided, at once or in parts.

use serde_json::{Value, json};
use sim::Rng;

use super::Caller;
use crate::harness::{Client, Reply, payment};

/// A card payment below this has no fee.
const FEE_FROM: u128 = 100;
const FUNDS: u64 = 1_000_000_000;
/// How many of the payments acknowledged long ago are looked up after each kill.
const OLD_LOOKED_UP: usize = 20;

#[derive(Debug, Clone)]
enum Ask {
    Pay {
        id: u128,
        body: Value,
    },
    /// A verb of a payment, or of this part of it.
    Verb {
        id: u128,
        verb: &'static str,
        part: Option<u128>,
        key: String,
    },
}

/// A payment of which something is held.
#[derive(Debug)]
struct Held {
    id: u128,
    payer: usize,
    /// What was authorised.
    amount: u128,
    left: u128,
    captured: u128,
}

pub(super) struct Payer {
    rng: Rng,
    customers: [String; 2],
    /// The posted and the reserved balance of each customer's wallet.
    wallets: [(u128, u128); 2],
    next_id: u128,
    requests: u64,
    /// The payments as they were last shown.
    shown: Vec<(u128, Value)>,
    checked: usize,
    held: Vec<Held>,
    unanswered: Option<Ask>,
    /// A request that was answered, to be repeated.
    last: Option<(Ask, Reply)>,
}

impl Payer {
    pub(super) fn new(number: u128, client: &Client, seed: u64) -> Self {
        let customers = [format!("payer{number}a"), format!("payer{number}b")];
        for (place, customer) in (1..).zip(&customers) {
            let funded = client.pay(number * 1_000_000 + place, "top_up", FUNDS, &json!({"customer": customer}));
            assert_eq!(funded.text("status"), "posted", "{funded:?}");
        }
        Self {
            rng: Rng::new(seed),
            customers,
            wallets: [(FUNDS.into(), 0); 2],
            next_id: number * 1_000_000 + 1_000,
            requests: 0,
            shown: Vec::new(),
            checked: 0,
            held: Vec::new(),
            unanswered: None,
            last: None,
        }
    }

    fn ask(&mut self) -> Ask {
        if !self.held.is_empty() && self.rng.percent(50) {
            let verb = *self.rng.pick(&["capture", "void", "increment"]);
            let place = self.rng.place(self.held.len());
            let Held { id, left, amount, .. } = self.held[place];
            if verb == "increment" && amount < FEE_FROM - 1 {
                let room = u64::try_from(FEE_FROM - 1 - amount).expect("small amounts");
                let part = Some(1 + u128::from(self.rng.below(room)));
                return Ask::Verb { id, verb, part, key: format!("{verb}-{}", self.requests) };
            }
            let verb = if verb == "increment" { "capture" } else { verb };
            let is_part = self.rng.percent(70);
            let below = u64::try_from(left).expect("small amounts");
            let part = is_part.then(|| 1 + u128::from(self.rng.below(below)));
            return Ask::Verb { id, verb, part, key: format!("{verb}-{}", self.requests) };
        }
        self.next_id += 1;
        let payer = self.rng.place(2);
        let amount = 1 + self.rng.below(90);
        let (id, [from, to]) = (self.next_id, [&self.customers[payer], &self.customers[1 - payer]]);
        let body = if self.rng.percent(70) {
            payment(id, "transfer", amount, &json!({"customer": from, "recipient": to}))
        } else {
            payment(id, "card", amount, &json!({"customer": from}))
        };
        Ask::Pay { id, body }
    }

    fn send(client: &Client, ask: &Ask) -> Option<Reply> {
        match ask {
            Ask::Pay { body, .. } => client.try_post("/v1/payments", body),
            Ask::Verb { id, verb, part, key } => {
                let body = part.map_or(json!({}), |amount| json!({"amount": amount.to_string()})).to_string();
                let headers = [("Idempotency-Key", key.as_str()), ("Content-Type", "application/json")];
                client.try_send(&format!("/v1/payments/{id}/{verb}"), &headers, body.as_bytes())
            }
        }
    }

    /// Checks a response, and updates the model.
    fn book(&mut self, ask: &Ask, reply: &Reply) {
        assert!(matches!(reply.status, 200 | 201), "{ask:?} gives {reply:?}");
        let status = reply.text("status");
        match ask {
            Ask::Pay { id, body } => {
                let amount: u128 = body["amount"].as_str().and_then(|amount| amount.parse().ok()).expect("an amount");
                let payer = usize::from(body["attributes"]["customer"] != json!(self.customers[0]));
                match (body["type"].as_str(), status) {
                    (Some("transfer"), "posted") => {
                        self.wallets[payer].0 -= amount;
                        self.wallets[1 - payer].0 += amount;
                    }
                    (Some("card"), "held") => {
                        self.wallets[payer].1 += amount;
                        self.held.push(Held { id: *id, payer, amount, left: amount, captured: 0 });
                    }
                    // More than five card payments in an hour.
                    (Some("card"), "declined") => {}
                    _ => panic!("{ask:?} gives {reply:?}"),
                }
                self.shown.push((*id, reply.body.clone()));
            }
            Ask::Verb { id, verb, part, .. } => {
                let place = self.held.iter().position(|held| held.id == *id);
                let place = place.expect("only held payments are captured, voided or raised");
                let held = &mut self.held[place];
                let amount = part.unwrap_or(held.left);
                if *verb == "increment" {
                    (held.amount, held.left) = (held.amount + amount, held.left + amount);
                    self.wallets[held.payer].1 += amount;
                } else {
                    held.left -= amount;
                    self.wallets[held.payer].1 -= amount;
                }
                assert_eq!(reply.text("amount"), held.amount.to_string(), "{reply:?}");
                if *verb == "capture" {
                    held.captured += amount;
                    self.wallets[held.payer].0 -= amount;
                }
                let expected = match held {
                    Held { left: 1.., .. } => "held",
                    Held { captured: 0, .. } => "voided",
                    Held { .. } => "posted",
                };
                assert_eq!((status, reply.text("captured")), (expected, &*held.captured.to_string()), "{reply:?}");
                if held.left == 0 {
                    self.held.swap_remove(place);
                }
                let shown = self.shown.iter_mut().rev().find(|(shown, _)| shown == id).expect("the payment was shown");
                shown.1 = reply.body.clone();
            }
        }
        self.requests += 1;
        self.last = Some((ask.clone(), reply.clone()));
    }

    fn check_wallets(&self, client: &Client) {
        for (customer, wallet) in self.customers.iter().zip(self.wallets) {
            assert_eq!(client.wallet(customer), wallet, "the wallet of {customer}");
        }
    }
}

impl Caller for Payer {
    fn go_on(&mut self, client: &Client) -> bool {
        let ask = self.ask();
        let Some(reply) = Self::send(client, &ask) else {
            self.unanswered = Some(ask);
            return false;
        };
        self.book(&ask, &reply);
        true
    }

    fn check(&mut self, client: &Client) {
        if let Some((ask, reply)) = self.last.take() {
            let again = Self::send(client, &ask).expect("the server answers");
            assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
            // A verb that was applied since then may have changed the payment.
            if !matches!(&self.unanswered, Some(Ask::Verb { .. })) {
                assert_eq!(again.body, reply.body, "the repeated request gets the same response");
            }
        }
        if let Some(ask) = self.unanswered.take() {
            let (first, second) = (Self::send(client, &ask), Self::send(client, &ask));
            let (first, second) = (first.expect("the server answers"), second.expect("the server answers"));
            assert_eq!((second.status, second.replayed), (200, true), "{second:?}");
            assert_eq!(first.body, second.body, "{ask:?} is decided once");
            self.book(&ask, &first);
        }
        let fresh = self.checked.saturating_sub(OLD_LOOKED_UP);
        for (id, shown) in &self.shown[fresh..] {
            let found = client.get(&format!("/v1/payments/{id}"));
            assert_eq!(
                (found.status, &found.body),
                (200, shown),
                "payment {id} is unchanged since it was acknowledged"
            );
        }
        self.checked = self.shown.len();
        self.check_wallets(client);
    }

    fn requests(&self) -> u64 {
        self.requests
    }
}
