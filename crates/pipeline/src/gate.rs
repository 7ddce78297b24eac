//! Decides whether anything may be written. The server refuses writes rather than write with a wrong time, to a nearly
//! full disk or after damage.

use std::sync::Arc;

use engine::WritesClosed;

use crate::clock_guard::Doubt;

/// Reasons against writing. There can be several at once; the most serious one is reported.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// The message of the fault that reported the damage; stays until the next start.
    damage: Option<Arc<str>>,
    disk: Option<DiskSpace>,
    clock: Option<Doubt>,
    quota: Option<DiskQuota>,
}

/// How much disk the files of a tenant take, and how much they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskQuota {
    pub used_bytes: u64,
    pub quota_bytes: u64,
}

/// Free space on the disk of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpace {
    pub directory: Arc<str>,
    /// Free bytes.
    pub free_bytes: u64,
    /// Bytes that must stay free.
    pub reserve_bytes: u64,
}

impl Gate {
    /// Records damage in the journal. The first report is kept, because later ones may be consequences of it.
    pub fn note_damage(&mut self, what: &str) {
        self.damage.get_or_insert_with(|| what.into());
    }

    /// Records the free space on the fullest disk.
    pub fn note_disk(&mut self, space: DiskSpace) {
        self.disk = (space.free_bytes < space.reserve_bytes).then_some(space);
    }

    /// Records the result of [`crate::ClockGuard::doubt`].
    pub fn note_clock(&mut self, doubt: Option<Doubt>) {
        self.clock = doubt;
    }

    /// Records how much disk a tenant with a quota uses; `None` if it has no quota.
    pub fn note_quota(&mut self, quota: Option<DiskQuota>) {
        self.quota = quota.filter(|quota| quota.used_bytes > quota.quota_bytes);
    }

    /// Why nothing may be written; `None` if writing is allowed.
    pub fn why(&self) -> Option<WritesClosed> {
        let damage = self.damage.clone().map(WritesClosed::JournalDamaged);
        damage
            .or_else(|| {
                let DiskSpace { directory, free_bytes, reserve_bytes } = self.disk.clone()?;
                Some(WritesClosed::DiskReserveReached { directory, free_bytes, reserve_bytes })
            })
            .or_else(|| {
                let Doubt { wall, expected, since } = self.clock?;
                Some(WritesClosed::ClockNotBelieved { wall, expected, since })
            })
            .or_else(|| {
                let DiskQuota { used_bytes, quota_bytes } = self.quota?;
                Some(WritesClosed::DiskQuotaReached { used_bytes, quota_bytes })
            })
    }

    /// Whether damage, a full disk, a doubted clock and a used up quota are reasons against writing, in this order.
    pub const fn reasons(&self) -> [bool; 4] {
        [self.damage.is_some(), self.disk.is_some(), self.clock.is_some(), self.quota.is_some()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64) -> DiskSpace {
        DiskSpace { directory: "journal".into(), free_bytes, reserve_bytes: 10 }
    }

    #[test]
    fn the_gravest_reason_is_named_and_each_passes_by_itself_but_damage() {
        let mut gate = Gate::default();
        assert_eq!(gate.why(), None);
        gate.note_quota(Some(DiskQuota { used_bytes: 11, quota_bytes: 10 }));
        assert_eq!(gate.why(), Some(WritesClosed::DiskQuotaReached { used_bytes: 11, quota_bytes: 10 }));
        let at = types::Timestamp::from_ns;
        gate.note_clock(Some(Doubt { wall: at(5), expected: at(3), since: "the last entry" }));
        assert!(matches!(gate.why(), Some(WritesClosed::ClockNotBelieved { .. })));
        gate.note_disk(space(9));
        assert!(matches!(gate.why(), Some(WritesClosed::DiskReserveReached { free_bytes: 9, .. })));
        gate.note_damage("first");
        gate.note_damage("second");
        assert_eq!(gate.why(), Some(WritesClosed::JournalDamaged("first".into())));
        gate.note_quota(Some(DiskQuota { used_bytes: 11, quota_bytes: 10 }));
        assert_eq!(gate.reasons(), [true, true, true, true]);
        gate.note_disk(space(10));
        gate.note_clock(None);
        gate.note_quota(Some(DiskQuota { used_bytes: 10, quota_bytes: 10 }));
        assert_eq!(gate.reasons(), [true, false, false, false]);
        assert_eq!(gate.why(), Some(WritesClosed::JournalDamaged("first".into())));
    }
}
