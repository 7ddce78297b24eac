//! The frauds of the demo. The policy's README describes the same patterns for people who change its rules.

use super::simulator::{After, Details, Draft, Pattern};
use super::town::{DAY, DAYS, HOUR, MINUTE, ORDINARY_MAIL, THROWAWAY_MAIL, time_of_day};

/// Adds frauds to a month of `payments` payments: about six percent of them in a usual month, and at least one of each
/// kind.
pub(super) fn add(draft: &mut Draft, payments: usize) {
    for gang in 0..(payments / 1_000).max(1) {
        card_testing(draft, gang);
    }
    for case in 0..(payments / 400).max(2) {
        account_takeover(draft, case);
    }
    for _ in 0..(payments / 2_500).max(1) {
        compromised_merchant(draft, (payments / 60).clamp(12, 45));
    }
    for gang in 0..(payments / 1_000).max(1) {
        mule_gang(draft, gang);
    }
}

/// Five stolen cards are each tested with a few tiny payments from one device. The cards that work are used at once.
fn card_testing(draft: &mut Draft, gang: usize) {
    let fraud = Some(Pattern::CardTesting);
    let device = format!("device_tester_{gang}");
    let mut at = draft.random.between(2 * DAY, (DAYS - 1) * DAY);
    for _ in 0..5 {
        let customer = draft.town.customer(&mut draft.random);
        let mut last = None;
        for _ in 0..draft.random.between(3, 6) {
            let details = remote_purchase(draft, customer, &device, THROWAWAY_MAIL);
            let cents = draft.random.between(50, 300);
            last = Some(match last {
                None => draft.pay(at, cents, details, fraud),
                Some(payment) => draft.pay_after(After { payment, succeeded: false }, 10..=40, cents, details, fraud),
            });
        }
        if let Some(payment) = last {
            let details = remote_purchase(draft, customer, &device, THROWAWAY_MAIL);
            let cents = draft.random.between(15_000, 60_000);
            draft.pay_after(After { payment, succeeded: true }, 30..=120, cents, details, fraud);
        }
        at += draft.random.between(2 * MINUTE, 5 * MINUTE);
    }
}

/// A stranger's device buys for five to fourteen times the usual amount, then sends as much as possible to an
/// accomplice.
fn account_takeover(draft: &mut Draft, case: usize) {
    let fraud = Some(Pattern::AccountTakeover);
    let customer = draft.town.customer(&mut draft.random);
    let device = format!("device_taker_{case}");
    let at = draft.random.between(7, DAYS - 2) * DAY + time_of_day(&mut draft.random, 50);
    let usual = draft.town.customers[customer].usual_cents;
    let details = remote_purchase(draft, customer, &device, ORDINARY_MAIL);
    let cents = usual * draft.random.between(5, 14);
    let mut payment = draft.pay(at, cents, details, fraud);
    for _ in 0..draft.random.between(1, 3) {
        let details = remote_purchase(draft, customer, &device, ORDINARY_MAIL);
        let cents = usual * draft.random.between(5, 14);
        let wait = 3 * MINUTE..=20 * MINUTE;
        payment = draft.pay_after(After { payment, succeeded: false }, wait, cents, details, fraud);
    }
    let recipient = draft.stranger();
    let cents = usual * draft.random.between(8, 15);
    let details = Details::Transfer { customer, recipient, device };
    draft.pay_after(After { payment, succeeded: false }, 3 * MINUTE..=20 * MINUTE, cents, details, fraud);
}

/// For ten days, cloned cards are used at one merchant's terminal. Each payment on its own looks ordinary.
fn compromised_merchant(draft: &mut Draft, payments: usize) {
    let merchant = draft.town.quiet_merchant(&mut draft.random);
    let first_day = draft.random.between(5, DAYS - 14);
    for _ in 0..payments {
        let customer = draft.town.customer(&mut draft.random);
        let day = first_day + draft.random.between(0, 9);
        let at = day * DAY + time_of_day(&mut draft.random, 4);
        let cents = draft.random.between(6_000, 25_000);
        let country = draft.town.country(merchant);
        let details = Details::Card { customer, merchant, country, device: None, mail: ORDINARY_MAIL };
        draft.pay(at, cents, details, Some(Pattern::CompromisedMerchant));
    }
}

/// A gang tricks three victims within a few days. Each victim tops up and sends the money from their own phone. The
/// money moves through a second wallet and out to a bank within an hour. Half of the gangs first use their device for a
/// small payment.
fn mule_gang(draft: &mut Draft, gang: usize) {
    let fraud = Some(Pattern::MuleChain);
    let device = format!("device_mule_{gang}");
    let mules = [draft.stranger(), draft.stranger()];
    let mut day = draft.random.between(4, DAYS - 12);
    if gang.is_multiple_of(2) {
        let at = (day - 3) * DAY + time_of_day(&mut draft.random, 4);
        let payment = draft.pay(at, 2_000, Details::TopUp { customer: mules[0] }, None);
        let details = Details::Transfer { customer: mules[0], recipient: mules[1], device: device.clone() };
        draft.pay_after(After { payment, succeeded: true }, MINUTE..=HOUR, 1_000, details, None);
    }
    for _ in 0..3 {
        let victim = draft.town.customer(&mut draft.random);
        let at = day * DAY + time_of_day(&mut draft.random, 4);
        let cents = draft.random.between(400, 1_500) * 100;
        let top_up = draft.pay(at, cents, Details::TopUp { customer: victim }, None);
        let phone = draft.town.phone(victim, at);
        let details = Details::Transfer { customer: victim, recipient: mules[0], device: phone };
        let paid = After { payment: top_up, succeeded: true };
        let tricked = draft.pay_after(paid, 5 * MINUTE..=30 * MINUTE, cents, details, fraud);

        let share = |draft: &Draft, payment| draft.cents(payment) * 97 / 100;
        let details = Details::Transfer { customer: mules[0], recipient: mules[1], device: device.clone() };
        let cents = share(draft, tricked);
        let received = After { payment: tricked, succeeded: true };
        let passed = draft.pay_after(received, 5 * MINUTE..=25 * MINUTE, cents, details, fraud);

        let details = Details::Withdrawal { customer: mules[1], device: device.clone() };
        let cents = share(draft, passed);
        let received = After { payment: passed, succeeded: true };
        draft.pay_after(received, 5 * MINUTE..=25 * MINUTE, cents, details, fraud);
        day += draft.random.between(1, 3);
    }
}

fn remote_purchase(draft: &mut Draft, customer: usize, device: &str, mail: &'static str) -> Details {
    let merchant = draft.town.merchant(&mut draft.random);
    let country = draft.town.country(merchant);
    Details::Card { customer, merchant, country, device: Some(device.to_owned()), mail }
}
