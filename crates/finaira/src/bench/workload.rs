//! The accounts and transfers that are sent. They follow from the settings and a fixed seed.

use std::io::Write as _;

use api::packed::{AccountRecord, TransferRecord};
use types::{AccountId, TransferId};

use super::settings::{Ids, Settings};

pub(super) const LEDGER: u32 = 1;
const PENDING: u16 = ledger::TransferFlags::PENDING.bits();
const POST: u16 = ledger::TransferFlags::POST_PENDING_TRANSFER.bits();
/// An upper bound for amounts, so that no sum comes near a limit.
const AMOUNT_END: u64 = 1_000_000;

/// A fast random number generator that mixes a counter.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Mixes the seed, because seeds that differ by the counter's step would give the same numbers shifted by one.
    pub(super) const fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(0x51_7cc1_b727_220a)))
    }

    #[inline]
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws a number from 0 to `end` - 1.
    #[inline]
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64_u32).unwrap_or_default()
    }

    fn wide(&mut self) -> u128 {
        (u128::from(self.next()) << 64_u32) | u128::from(self.next())
    }

    /// Draws a number from 0 up to but not including 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit in a double")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11_u32) as f64 / (1_u64 << 53_u32) as f64
    }

    fn low_u32(&mut self) -> u32 {
        u32::try_from(self.next() >> 32_u32).unwrap_or_default()
    }
}

#[inline]
const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Draws accounts, either uniformly or by Zipf's law with an exponent below 1 (the generator of Gray and others, 1994).
#[derive(Debug, Clone)]
struct Accounts {
    count: u64,
    zipf: Option<Zipf>,
    hot_percent: u64,
}

#[derive(Debug, Clone)]
struct Zipf {
    count: f64,
    exponent: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 accounts")]
    fn new(count: u64, exponent: f64) -> Self {
        let zeta = |terms: u64| (1..=terms).map(|rank| (rank as f64).powf(-exponent)).sum::<f64>();
        let (all, count) = (zeta(count), count as f64);
        let eta = (1.0 - (2.0 / count).powf(1.0 - exponent)) / (1.0 - zeta(2) / all);
        Self { count, exponent, zeta: all, eta }
    }

    /// Draws a rank, from 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is between 0 and the count")]
    fn draw(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(self.exponent) {
            return 1;
        }
        (self.count * (self.eta * unit - self.eta + 1.0).powf(1.0 / (1.0 - self.exponent))) as u64
    }
}

impl Accounts {
    fn draw(&self, random: &mut Random) -> u64 {
        let rank = match &self.zipf {
            Some(zipf) => zipf.draw(random),
            None => random.below(self.count),
        };
        1 + rank.min(self.count - 1)
    }

    /// Draws two different accounts.
    fn pair(&self, random: &mut Random) -> (u64, u64) {
        let hot = self.hot_percent > 0 && random.below(100) < self.hot_percent;
        let debit = if hot { 1 } else { self.draw(random) };
        let mut credit = self.draw(random);
        if credit == debit {
            credit = debit % self.count + 1;
        }
        if hot && random.next() & 1 == 1 { (credit, debit) } else { (debit, credit) }
    }
}

/// The transfers of one client.
#[derive(Debug)]
pub(super) struct Workload {
    accounts: Accounts,
    random: Random,
    ids: Ids,
    /// The upper half of the first id that rises with time: the start of the benchmark in nanoseconds.
    ids_from: u64,
    pending_percent: u64,
    /// The pending transfers of the previous batch, which the next batch posts.
    reserved: Vec<u128>,
    reserved_amounts: Vec<u64>,
    /// The sum that all its transfers have moved once none is pending.
    pub(super) moved: u128,
}

/// Writes an account. Accounts are numbered from 1.
pub(super) fn write_account(number: u64, into: &mut Vec<u8>) {
    let mut random = Random::new(number);
    let record = AccountRecord {
        id: number.into(),
        debits_pending: 0,
        debits_posted: 0,
        credits_pending: 0,
        credits_posted: 0,
        user_data_128: random.wide(),
        user_data_64: random.next(),
        user_data_32: random.low_u32(),
        reserved: 0,
        ledger: LEDGER,
        code: 1,
        flags: 0,
        timestamp: 0,
    };
    into.extend_from_slice(&record.encode());
}

impl Workload {
    pub(super) fn new(settings: &Settings, client: u64, ids_from: u64) -> Self {
        let zipf = settings.zipf.map(|exponent| Zipf::new(settings.accounts, exponent));
        Self {
            accounts: Accounts { count: settings.accounts, zipf, hot_percent: settings.hot_percent.into() },
            random: Random::new(client + 1),
            ids: settings.ids,
            ids_from,
            pending_percent: settings.pending_percent.into(),
            reserved: Vec::new(),
            reserved_amounts: Vec::new(),
            moved: 0,
        }
    }

    /// Creates `count` transfers with numbers from `first` on. The posts of the previous batch's pending transfers come
    /// first.
    pub(super) fn transfers(&mut self, first: u64, count: u64, mut put: impl FnMut(&TransferRecord)) {
        let reserved = std::mem::take(&mut self.reserved);
        let amounts = std::mem::take(&mut self.reserved_amounts);
        let mut posts = reserved.into_iter().zip(amounts);
        for number in first..first + count {
            let id = self.id(number);
            let record = match posts.next() {
                Some((pending_id, amount)) => {
                    self.moved += u128::from(amount);
                    TransferRecord { flags: POST, amount: u128::MAX, pending_id, ..self.blank(id) }
                }
                None => self.fresh(id),
            };
            put(&record);
        }
        // A later batch posts those that did not fit.
        (self.reserved, self.reserved_amounts) = {
            let (mut ids, mut left): (Vec<_>, Vec<_>) = posts.unzip();
            ids.append(&mut self.reserved);
            left.append(&mut self.reserved_amounts);
            (ids, left)
        };
    }

    #[inline]
    fn fresh(&mut self, id: u128) -> TransferRecord {
        let (debit, credit) = self.accounts.pair(&mut self.random);
        let amount = self.random.below(AMOUNT_END);
        let pending = self.pending_percent > 0 && self.random.below(100) < self.pending_percent;
        if pending {
            self.reserved.push(id);
            self.reserved_amounts.push(amount);
        } else {
            self.moved += u128::from(amount);
        }
        let bits = self.random.next();
        TransferRecord {
            debit_account_id: debit.into(),
            credit_account_id: credit.into(),
            amount: amount.into(),
            user_data_128: self.random.wide(),
            user_data_64: self.random.next(),
            user_data_32: u32::try_from(bits >> 32_u32).unwrap_or_default(),
            ledger: LEDGER,
            code: u16::try_from(bits & 0xffff).unwrap_or_default().max(1),
            flags: if pending { PENDING } else { 0 },
            ..self.blank(id)
        }
    }

    const fn blank(&self, id: u128) -> TransferRecord {
        TransferRecord {
            id,
            debit_account_id: 0,
            credit_account_id: 0,
            amount: 0,
            pending_id: 0,
            user_data_128: 0,
            user_data_64: 0,
            user_data_32: 0,
            timeout: 0,
            ledger: 0,
            code: 0,
            flags: 0,
            timestamp: 0,
        }
    }

    #[inline]
    fn id(&mut self, number: u64) -> u128 {
        match self.ids {
            Ids::Time => (u128::from(self.ids_from + number) << 64_u32) | u128::from(self.random.next()),
            Ids::Random => self.random.wide().clamp(1, u128::MAX - 1),
        }
    }
}

/// Writes a transfer for the JSON API.
pub(super) fn write_json(record: &TransferRecord, into: &mut Vec<u8>) {
    let id = TransferId::new(record.id);
    let written = if record.pending_id == 0 {
        write!(
            into,
            r#"{{"id":"{id}","debit_account":"{}","credit_account":"{}","amount":"{}","asset":"EUR/2","user_data_128":"{}","user_data_64":"{}","user_data_32":{},"ledger":{},"code":{},"flags":[{}]}}"#,
            AccountId::new(record.debit_account_id),
            AccountId::new(record.credit_account_id),
            record.amount,
            record.user_data_128,
            record.user_data_64,
            record.user_data_32,
            record.ledger,
            record.code,
            if record.flags == PENDING { r#""pending""# } else { "" },
        )
    } else {
        let pending = TransferId::new(record.pending_id);
        write!(
            into,
            r#"{{"id":"{id}","pending_id":"{pending}","amount":"max","asset":"EUR/2","flags":["post_pending_transfer"]}}"#
        )
    };
    written.expect("writing to a vector cannot fail");
}
