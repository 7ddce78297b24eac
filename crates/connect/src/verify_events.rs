//! Compares the events in a target with the journal.

use std::collections::BTreeMap;

use serde_json::Value;
use types::Seq;

use crate::connector::Ended;
use crate::cursor::Cursor;
use crate::events::CloudEvent;
use crate::source::Source;
use crate::target::{Counts, Fault, Target};
use crate::verify::{Findings, Verification};

/// Events that are compared at once.
const EVENTS_AT_ONCE: usize = 8_192;

/// The events of a target, as far as they have been compared.
struct Comparing<'s> {
    source: &'s Source,
    /// The last entry of the journal.
    last: Seq,
    each: u64,
    /// Those that were read from the target and not compared yet.
    read: Vec<(Seq, Vec<u8>)>,
    seen: Bits,
    /// The highest sequence in each lane.
    highest: BTreeMap<i32, u64>,
    repeated: u64,
    findings: Findings,
}

/// Compares every `each`th event with its entry, and looks for events that are missing or belong to no entry. `from` is the first entry
/// that the target should have.
pub(crate) fn verify(
    source: &Source,
    target: &mut dyn Target,
    cursor: &Cursor,
    (each, from): (u64, Seq),
) -> Result<Verification, Ended> {
    let last = source.arrived().last;
    let (read, seen, highest) = (Vec::with_capacity(EVENTS_AT_ONCE), Bits::default(), BTreeMap::new());
    let mut comparing =
        Comparing { source, last, each: each.max(1), read, seen, highest, repeated: 0, findings: Findings::default() };
    let mut failed = None;
    let done = target.events(&mut |lane, seq, event| {
        let highest = comparing.highest.entry(lane).or_default();
        *highest = seq.get().max(*highest);
        comparing.read.push((seq, event.to_vec()));
        if comparing.read.len() < EVENTS_AT_ONCE {
            return Ok(());
        }
        comparing.compare().map_err(|ended| {
            let fault = Fault::Refused(ended.to_string());
            failed = Some(ended);
            fault
        })
    });
    if let Some(ended) = failed {
        return Err(ended);
    }
    done?;
    comparing.compare()?;
    comparing.finish(target, cursor, from)
}

impl Comparing<'_> {
    /// Compares what was read.
    fn compare(&mut self) -> Result<(), Ended> {
        let mut read = std::mem::take(&mut self.read);
        read.sort_unstable_by_key(|(seq, _)| *seq);
        let mut entries = Entries { source: self.source, read: None };
        for (seq, found) in &read {
            if *seq == Seq::ZERO || *seq > self.last {
                self.findings.differ(format!("event {seq}: the journal has no such entry"));
                continue;
            }
            self.repeated += u64::from(!self.seen.insert(seq.get()));
            if seq.get() % self.each != 0 {
                continue;
            }
            self.findings.compared.events += 1;
            let expected = entries.event(*seq)?;
            let found: Value = serde_json::from_slice(found).unwrap_or_default();
            self.findings.compare("event", seq, &expected, Some(&found));
        }
        read.clear();
        self.read = read;
        Ok(())
    }

    /// Looks for missing events: those up to the cursor, and those before the last one of their lane. Later ones may be on their way.
    fn finish(mut self, target: &dyn Target, cursor: &Cursor, from: Seq) -> Result<Verification, Ended> {
        let mut next = from;
        let (mut expected, mut unchecked) = (0, 0);
        while next <= self.last {
            let read = self.source.read(next, EVENTS_AT_ONCE)?;
            for run in &read.runs {
                for seq in run.first().max(next).get()..=run.last().min(self.last).get() {
                    let Some(item) = run.get(Seq::new(seq)) else { continue };
                    if !target.keeps(&item.entry) {
                        continue;
                    }
                    let highest = self.highest.get(&target.lane(&item.entry)).copied().unwrap_or_default();
                    if seq > highest.max(cursor.position.get()) {
                        unchecked += 1;
                        continue;
                    }
                    expected += 1;
                    if !self.seen.contains(seq) {
                        self.findings.differ(format!("event {seq} is missing"));
                    }
                }
            }
            let Some(last) = read.runs.last().map(|run| run.last()) else { break };
            next = last.next();
        }
        let expected = Counts { events: expected, ..Counts::default() };
        Ok(Verification { repeated: self.repeated, unchecked, ..self.findings.of(cursor, expected) })
    }
}

/// Entries that are asked for in rising order.
struct Entries<'s> {
    source: &'s Source,
    read: Option<journal::Decoded>,
}

impl Entries<'_> {
    /// The entry as an event.
    fn event(&mut self, seq: Seq) -> Result<CloudEvent, Ended> {
        let has = |read: &journal::Decoded| read.runs.iter().any(|run| run.get(seq).is_some());
        if !self.read.as_ref().is_some_and(has) {
            self.read = Some(self.source.read(seq, EVENTS_AT_ONCE)?);
        }
        let item = self.read.iter().flat_map(|read| &read.runs).find_map(|run| run.get(seq));
        let missing = || Fault::Contradicts(format!("entry {seq} is not in the copy of the journal"));
        let item = item.ok_or_else(missing)?;
        let origin = self.source.origin_at(seq).ok_or_else(missing)?;
        Ok(CloudEvent::new(item, origin)?)
    }
}

/// A set of numbers.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number. Returns whether it was not there yet.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else { return true };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn contains(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number >> 6).unwrap_or(usize::MAX), 1 << (number & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_inserted() {
        let mut bits = Bits::default();
        for number in [0, 1, 63, 64, 1_000] {
            assert!(!bits.contains(number) && bits.insert(number) && bits.contains(number));
            assert!(!bits.insert(number), "{number} is there already");
        }
        assert!(!bits.contains(2) && !bits.contains(100_000));
    }
}
