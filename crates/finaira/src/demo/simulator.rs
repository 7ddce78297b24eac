//! The events of the month: every payment, and what people do about it afterwards. The same seed gives the same month.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use types::{PaymentId, Span, Timestamp};

use super::fraud;
use super::random::Random;
use super::town::{DAY, DAYS, HOUR, MINUTE, ORDINARY_MAIL, Town, time_of_day};

/// The number of payments that one customer makes at the same moment, to test the policy's limit [`BURST_LIMIT`].
pub(super) const BURST: u64 = 60;
/// How many payments within a minute the policy's rule `customer_rate` accepts.
pub(super) const BURST_LIMIT: usize = 40;
/// How often the reviewer recognises what a payment really is, in percent.
pub(super) const REVIEWER_RIGHT_PERCENT: u64 = 90;

/// A kind of fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Tiny payments test which stolen cards work. A large payment follows.
    CardTesting,
    /// A stranger's device spends several times the usual amount, then sends money to an accomplice.
    AccountTakeover,
    /// Cloned cards are used at one merchant.
    CompromisedMerchant,
    /// A tricked victim's money moves through wallets and out to a bank.
    MuleChain,
}

impl Pattern {
    pub(super) const ALL: [Self; 4] =
        [Self::CardTesting, Self::AccountTakeover, Self::CompromisedMerchant, Self::MuleChain];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CardTesting => "card testing",
            Self::AccountTakeover => "account takeover",
            Self::CompromisedMerchant => "compromised merchant",
            Self::MuleChain => "mule chain",
        }
    }
}

/// The content of a payment. Customers and merchants are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Details {
    /// A purchase. Without a device, it is made at a terminal.
    Card { customer: usize, merchant: usize, country: &'static str, device: Option<String>, mail: &'static str },
    /// A transfer to another customer.
    Transfer { customer: usize, recipient: usize, device: String },
    /// A transfer from a bank.
    TopUp { customer: usize },
    /// A transfer to the customer's bank.
    Withdrawal { customer: usize, device: String },
}

/// The condition, on an earlier payment, under which a payment is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct After {
    /// The number of the earlier payment.
    pub(super) payment: usize,
    /// Whether the earlier payment must have succeeded. Otherwise the sender gives up.
    pub(super) succeeded: bool,
}

/// A payment that somebody will try to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    /// Seconds since the month began, in simulated time.
    pub(super) at: u64,
    pub(super) cents: u64,
    pub(super) details: Details,
    /// The kind of fraud, or `None` for an ordinary payment.
    pub(super) fraud: Option<Pattern>,
    /// The earlier payment that this one waits for. One person's payments follow one another.
    pub(super) after: Option<After>,
    /// Whether the connection breaks, so that the client sends the payment again.
    pub(super) resent: bool,
    /// Whether a reviewer would recognise what it really is.
    pub(super) reviewer_right: bool,
}

/// Somebody or something whose earlier payments a decision may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Party<'p> {
    /// A customer, with the card and the wallet.
    Customer(usize),
    Merchant(usize),
    Device(&'p str),
}

impl Payment {
    /// Everybody and everything that the decision about this payment depends on.
    fn parties(&self) -> impl Iterator<Item = Party<'_>> {
        let (customers, merchant, device) = match &self.details {
            Details::Card { customer, merchant, device, .. } => {
                ([Some(*customer), None], Some(*merchant), device.as_ref())
            }
            Details::Transfer { customer, recipient, device } => {
                ([Some(*customer), Some(*recipient)], None, Some(device))
            }
            Details::TopUp { customer } => ([Some(*customer), None], None, None),
            Details::Withdrawal { customer, device } => ([Some(*customer), None], None, Some(device)),
        };
        let customers = customers.into_iter().flatten().map(Party::Customer);
        customers.chain(merchant.map(Party::Merchant)).chain(device.map(|device| Party::Device(device)))
    }

    /// Builds the request, in a month that began at `start`.
    pub(super) fn request(&self, start: Timestamp) -> Value {
        let customer = |number: &usize| format!("customer_{number:04}");
        let (kind, attributes) = match &self.details {
            Details::Card { customer: number, merchant, country, device, mail } => {
                let attributes = json!({
                    "customer": customer(number), "card": format!("card_{number:04}"),
                    "merchant": format!("merchant_{merchant:03}"), "country": country,
                    "device": device, "card_present": device.is_none(),
                    "email": format!("{}@{mail}", customer(number)),
                });
                ("card", attributes)
            }
            Details::Transfer { customer: number, recipient, device } => {
                let name = format!("The owner of {}", customer(recipient));
                let recipient = customer(recipient);
                let attributes =
                    json!({"customer": customer(number), "recipient": recipient, "device": device, "name": name});
                ("transfer", attributes)
            }
            Details::TopUp { customer: number } => ("top_up", json!({"customer": customer(number)})),
            Details::Withdrawal { customer: number, device } => {
                ("withdrawal", json!({"recipient": customer(number), "device": device}))
            }
        };
        json!({
            "id": self.id.to_string(), "type": kind, "amount": self.cents.to_string(), "asset": "EUR/2",
            "occurred_at": start.saturating_add(Span::from_secs(self.at)).to_string(), "attributes": attributes,
        })
    }
}

/// An action in the month that concerns one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Seconds since the month began, in simulated time.
    pub(super) at: u64,
    pub(super) payment: usize,
    pub(super) action: Action,
    /// The earlier steps of the month, by their position, that must be done first: the last one of each party. So the month
    /// ends the same way however many clients play it.
    pub(super) after: Vec<usize>,
}

/// An action. All but the first do nothing unless the payment has the status that they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send the payment.
    Send,
    /// A reviewer decides about it.
    Review,
    /// Capture it, because the goods are shipped.
    Capture,
    /// Void it, because the order is cancelled before shipping.
    Void,
    /// Refund it, because the goods are returned.
    Refund,
    /// The victim reports it.
    Label,
}

/// The simulated month.
#[derive(Debug)]
pub(super) struct Month {
    pub(super) payments: Vec<Payment>,
    /// The first top-ups, on which everything else depends.
    pub(super) funding: Vec<Step>,
    /// The steps of the month, in order of time.
    pub(super) steps: Vec<Step>,
    /// The payments that one customer sends at the same moment.
    pub(super) burst: Vec<Step>,
}

/// A month under construction.
#[derive(Debug)]
pub(super) struct Draft {
    seed: u64,
    pub(super) random: Random,
    pub(super) town: Town,
    payments: Vec<Payment>,
    /// The number of customers besides the ordinary ones.
    strangers: usize,
}

impl Month {
    /// Creates a month of about `count` payments, besides those that put money into wallets.
    pub(super) fn new(seed: u64, count: usize) -> Self {
        let mut random = Random::new(seed);
        let town = Town::new(&mut random, count);
        let mut draft = Draft { seed, random, town, payments: Vec::new(), strangers: 0 };
        for customer in 0..draft.town.customers.len() {
            // This is enough for the month, except for 6 % of the customers.
            let purchases = if draft.random.percent(6) { 4 } else { draft.random.between(25, 50) };
            draft.pay(0, draft.town.customers[customer].usual_cents * purchases, Details::TopUp { customer }, None);
        }
        let funded = draft.payments.len();
        fraud::add(&mut draft, count);
        while draft.payments.len() < funded + count {
            draft.live();
        }
        let end = draft.payments.len();
        draft.burst();
        draft.finish(funded, end)
    }
}

impl Draft {
    /// Adds a payment and returns its number.
    pub(super) fn pay(&mut self, at: u64, cents: u64, details: Details, fraud: Option<Pattern>) -> usize {
        let number = self.payments.len();
        let id = (u128::from(self.seed) << 64) | (number as u128 + 1);
        self.payments.push(Payment {
            id: PaymentId::new(id),
            at,
            cents,
            details,
            fraud,
            after: None,
            resent: self.random.percent(2),
            reviewer_right: self.random.percent(REVIEWER_RIGHT_PERCENT),
        });
        number
    }

    /// As [`Draft::pay`], but after another payment.
    pub(super) fn pay_after(
        &mut self,
        after: After,
        wait: RangeInclusive<u64>,
        cents: u64,
        details: Details,
        fraud: Option<Pattern>,
    ) -> usize {
        let at = self.payments[after.payment].at + self.random.between(*wait.start(), *wait.end());
        let number = self.pay(at, cents, details, fraud);
        self.payments[number].after = Some(after);
        number
    }

    /// Adds a new customer.
    pub(super) fn stranger(&mut self) -> usize {
        self.strangers += 1;
        self.town.customers.len() + self.strangers
    }

    pub(super) fn cents(&self, payment: usize) -> u64 {
        self.payments[payment].cents
    }

    /// Adds a purchase, on the customer's phone or at a terminal.
    fn purchase(&mut self, customer: usize, at: u64) {
        let merchant = self.town.merchant(&mut self.random);
        let device = (!self.random.percent(40)).then(|| self.town.phone(customer, at));
        let cents = self.town.price(&mut self.random, customer);
        let country = self.town.country(merchant);
        let mail = self.town.customers[customer].mail;
        self.pay(at, cents, Details::Card { customer, merchant, country, device, mail }, None);
    }

    /// Adds an action of an ordinary customer.
    fn live(&mut self) {
        let customer = self.town.customer(&mut self.random);
        let at = self.random.between(0, DAYS - 1) * DAY + time_of_day(&mut self.random, 4);
        let device = self.town.phone(customer, at);
        match self.random.between(1, 100) {
            1..=80 => {
                let stops = [1, 1, 1, 1, 1, 1, 1, 2, 2, 3][self.random.position(10)];
                for stop in 0..stops {
                    let at = at + stop * self.random.between(10 * MINUTE, HOUR);
                    self.purchase(customer, at);
                }
            }
            81..=93 => {
                let recipient = self.town.customer(&mut self.random);
                if recipient != customer {
                    let cents = self.town.price(&mut self.random, customer) * 2;
                    self.pay(at, cents, Details::Transfer { customer, recipient, device }, None);
                }
            }
            94..=96 => {
                let cents = self.town.price(&mut self.random, customer) * 3;
                self.pay(at, cents, Details::Withdrawal { customer, device }, None);
            }
            _ => {
                let cents = self.town.customers[customer].usual_cents * 10;
                self.pay(at, cents, Details::TopUp { customer }, None);
            }
        }
    }

    /// Adds a customer who makes [`BURST`] payments at once, with declared times all over the month.
    fn burst(&mut self) {
        let customer = self.stranger();
        self.pay(0, 500_000, Details::TopUp { customer }, None);
        // The busiest merchant is never compromised.
        let merchant = 0;
        for number in 0..BURST {
            let device = None;
            let country = self.town.country(merchant);
            let details = Details::Card { customer, merchant, country, device, mail: ORDINARY_MAIL };
            let at = number * DAYS * DAY / BURST + 11 * HOUR;
            // All the same, because nobody knows which of them are accepted.
            let number = self.pay(at, 2_000, details, None);
            self.payments[number].resent = false;
        }
    }

    /// Adds what people do about the payments, and sorts everything. Payments before `funded` fund wallets, and
    /// payments from `end` on are the burst.
    fn finish(mut self, funded: usize, end: usize) -> Month {
        let send = |payments: &[Payment], payment: usize| Step {
            at: payments[payment].at,
            payment,
            action: Action::Send,
            after: Vec::new(),
        };
        let funding = (0..funded).chain([end]).map(|payment| send(&self.payments, payment)).collect();
        let burst = (end + 1..self.payments.len()).map(|payment| send(&self.payments, payment)).collect();
        let mut steps = Vec::new();
        for payment in funded..end {
            steps.push(send(&self.payments, payment));
            let Payment { at, fraud, ref details, .. } = self.payments[payment];
            let mut later = |random: &mut Random, action, wait: RangeInclusive<u64>| {
                let at = at + random.between(*wait.start(), *wait.end());
                steps.push(Step { at, payment, action, after: Vec::new() });
            };
            later(&mut self.random, Action::Review, 30 * MINUTE..=2 * HOUR);
            if matches!(details, Details::Card { .. }) {
                let cancelled = fraud.is_none() && self.random.percent(2);
                let action = if cancelled { Action::Void } else { Action::Capture };
                later(&mut self.random, action, 3 * HOUR..=20 * HOUR);
                if fraud.is_none() && self.random.percent(2) {
                    later(&mut self.random, Action::Refund, DAY..=3 * DAY);
                }
            }
            if fraud.is_some() {
                later(&mut self.random, Action::Label, DAY / 2..=3 * DAY);
            }
        }
        // The sort is stable: actions of the same second keep the order in which they were added.
        steps.sort_by_key(|step| step.at);
        follow_parties(&self.payments, &mut steps);
        Month { payments: self.payments, funding, steps, burst }
    }
}

/// Lets every step follow the last earlier one of each of its parties.
fn follow_parties(payments: &[Payment], steps: &mut [Step]) {
    let mut last: HashMap<Party<'_>, usize> = HashMap::new();
    for (number, step) in steps.iter_mut().enumerate() {
        step.after = payments[step.payment].parties().filter_map(|party| last.insert(party, number)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_month() {
        let (one, same, other) = (Month::new(7, 500), Month::new(7, 500), Month::new(8, 500));
        assert_eq!(one.payments, same.payments);
        assert_eq!(one.steps, same.steps);
        let without_ids = |month: &Month| {
            let payments = month.payments.iter().map(|payment| (payment.at, payment.cents, payment.details.clone()));
            payments.collect::<Vec<_>>()
        };
        assert_ne!(without_ids(&one), without_ids(&other));
    }

    #[test]
    fn every_pattern_happens_in_the_smallest_month() {
        let month = Month::new(1, 200);
        for pattern in Pattern::ALL {
            let cases = month.payments.iter().filter(|payment| payment.fraud == Some(pattern)).count();
            assert!(cases > 0, "no {}", pattern.name());
        }
        let ordinary = month.payments.iter().filter(|payment| payment.fraud.is_none()).count();
        assert!(ordinary > month.payments.len() / 2);
    }

    #[test]
    fn steps_are_in_order_and_payments_come_after_those_they_follow() {
        let month = Month::new(3, 2_000);
        assert!(month.steps.is_sorted_by_key(|step| step.at));
        let sent: Vec<usize> =
            month.steps.iter().filter(|step| step.action == Action::Send).map(|step| step.payment).collect();
        for (position, payment) in sent.iter().enumerate() {
            if let Some(after) = month.payments[*payment].after {
                assert!(sent[..position].contains(&after.payment), "payment {payment} comes before {}", after.payment);
            }
        }
    }

    #[test]
    fn steps_of_one_party_come_one_after_the_other() {
        let month = Month::new(3, 2_000);
        let shares = |a: usize, b: usize| {
            let (a, b) = (&month.payments[a], &month.payments[b]);
            a.parties().any(|party| b.parties().any(|other| other == party))
        };
        for (number, step) in month.steps.iter().enumerate() {
            assert!(
                step.after.iter().all(|after| *after < number && shares(month.steps[*after].payment, step.payment))
            );
            let previous = month.steps[..number].iter().rposition(|earlier| shares(earlier.payment, step.payment));
            assert_eq!(step.after.iter().max().copied(), previous, "step {number}");
        }
    }

    #[test]
    fn the_burst_has_the_documented_size() {
        let month = Month::new(3, 300);
        assert_eq!(u64::try_from(month.burst.len()).unwrap(), BURST);
        assert!(month.burst.len() > BURST_LIMIT);
    }

    #[test]
    fn a_request_names_only_synthetic_people() {
        let month = Month::new(1, 200);
        let request = month.payments[0].request(Timestamp::ZERO);
        let expected = json!({"customer": "customer_0000"});
        assert_eq!(request["attributes"], expected);
        assert_eq!(request["occurred_at"], "1970-01-01T00:00:00Z");
    }
}
