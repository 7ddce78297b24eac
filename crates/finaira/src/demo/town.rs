//! The people of the simulation: customers with habits, and merchants.

use super::random::Random;

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 86_400;
/// How many days the simulation covers.
pub(super) const DAYS: u64 = 30;

pub(super) const ORDINARY_MAIL: &str = "mail.example";
pub(super) const THROWAWAY_MAIL: &str = "throwaway.example";

/// The country of the shop. All country codes are invented.
const HOME: &str = "XA";
const ABROAD: [&str; 3] = ["XB", "XC", "XD"];

/// The price of a purchase in percent of what the customer usually spends.
const SPREAD_PERCENT: [u64; 12] = [30, 45, 60, 70, 80, 90, 100, 110, 130, 160, 200, 290];

#[derive(Debug)]
pub(super) struct Customer {
    /// What a purchase usually costs, in cents.
    pub(super) usual_cents: u64,
    /// The domain of the customer's mail address. Some honest customers also use a throwaway address.
    pub(super) mail: &'static str,
    /// The second of the month at which the customer gets a new phone.
    new_phone_at: Option<u64>,
}

/// All customers and merchants.
#[derive(Debug)]
pub(super) struct Town {
    pub(super) customers: Vec<Customer>,
    /// The country of each merchant. The first merchants have the most customers.
    merchants: Vec<&'static str>,
}

impl Town {
    /// Creates a town for `payments` payments a month, about a dozen per customer.
    pub(super) fn new(random: &mut Random, payments: usize) -> Self {
        let customers = (0..(payments / 12).max(30)).map(|_| Customer {
            usual_cents: random.between(800, 2_000) + random.between(0, 1_500) + random.between(0, 1_500),
            mail: if random.percent(3) { THROWAWAY_MAIL } else { ORDINARY_MAIL },
            new_phone_at: random.percent(3).then(|| random.between(DAY, (DAYS - 1) * DAY)),
        });
        let customers = customers.collect();
        let merchants = (0..(12 + payments / 200).min(60)).map(|_| {
            let abroad = random.percent(15);
            if abroad { ABROAD[random.position(ABROAD.len())] } else { HOME }
        });
        Self { customers, merchants: merchants.collect() }
    }

    pub(super) fn country(&self, merchant: usize) -> &'static str {
        self.merchants[merchant]
    }

    pub(super) fn customer(&self, random: &mut Random) -> usize {
        random.position(self.customers.len())
    }

    /// Draws a merchant; the first ones are drawn more often.
    pub(super) fn merchant(&self, random: &mut Random) -> usize {
        random.position(self.merchants.len()).min(random.position(self.merchants.len()))
    }

    /// Draws a domestic merchant from the less frequented half, where a change is easier to see.
    pub(super) fn quiet_merchant(&self, random: &mut Random) -> usize {
        let half = self.merchants.len() / 2;
        let chosen = half + random.position(self.merchants.len() - half);
        (half..=chosen).rev().find(|&merchant| self.merchants[merchant] == HOME).unwrap_or(chosen)
    }

    /// Returns the phone that a customer has at this second of the month.
    pub(super) fn phone(&self, customer: usize, at: u64) -> String {
        let new = self.customers[customer].new_phone_at.is_some_and(|since| since <= at);
        format!("device_{customer:04}{}", if new { "b" } else { "a" })
    }

    /// Draws the price of a purchase: usually close to the customer's usual price, in 15 % of cases very little, and in
    /// 1 % ten times as much.
    pub(super) fn price(&self, random: &mut Random, customer: usize) -> u64 {
        if random.percent(15) {
            return random.between(80, 400);
        }
        let price = self.customers[customer].usual_cents * SPREAD_PERCENT[random.position(SPREAD_PERCENT.len())] / 100;
        if random.percent(1) { price * 10 } else { price }
    }
}

/// Draws a second of the day: before six in the morning with a probability of `night_percent`, otherwise most often
/// around 15:30.
pub(super) fn time_of_day(random: &mut Random, night_percent: u64) -> u64 {
    if random.percent(night_percent) {
        random.between(0, 6 * HOUR - 1)
    } else {
        7 * HOUR + random.between(0, 8 * HOUR) + random.between(0, 9 * HOUR - 1)
    }
}
