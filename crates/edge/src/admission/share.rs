//! Divides a rate among those who ask for it, by water-filling: everyone gets what they ask for, up to one level that is the
//! same for all.

/// The level at which `demands` add up to `total`: who asks for less gets all, everyone else gets the level. `None` if there is
/// enough for all.
pub(super) fn level(demands: &mut [u64], total: u64) -> Option<u64> {
    if demands.iter().fold(0_u64, |sum, demand| sum.saturating_add(*demand)) <= total {
        return None;
    }
    demands.sort_unstable();
    let mut left = total;
    let mut sharers = u64::try_from(demands.len()).unwrap_or(u64::MAX);
    for demand in demands {
        let share = left.checked_div(sharers).unwrap_or_default();
        if *demand > share {
            return Some(share);
        }
        left = left.saturating_sub(*demand);
        sharers = sharers.saturating_sub(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_less_than_the_level_gets_all() {
        for (demands, total, expected) in [
            (&[][..], 0, None),
            (&[5, 5], 10, None),
            (&[5, 6], 10, Some(5)),
            (&[1, 100], 10, Some(9)),
            (&[100, 1, 2], 10, Some(7)),
            (&[1, 2, 3, 100, 100], 16, Some(5)),
            (&[7], 3, Some(3)),
            (&[1, 1, 1], 2, Some(0)),
            (&[u64::MAX, u64::MAX], 8, Some(4)),
        ] {
            assert_eq!(level(&mut demands.to_vec(), total), expected, "{demands:?} in {total}");
        }
    }

    #[test]
    fn what_all_get_together_is_the_total_but_for_rounding() {
        // A small generator is enough to try many shapes.
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..10_000 {
            let count = 1 + next(8);
            let demands: Vec<u64> = (0..count).map(|_| next(1_000)).collect();
            let total = next(3_000);
            let Some(level) = level(&mut demands.clone(), total) else {
                assert!(demands.iter().sum::<u64>() <= total);
                continue;
            };
            let given: u64 = demands.iter().map(|demand| (*demand).min(level)).sum();
            assert!(given <= total && total - given < count, "{demands:?} in {total}: level {level}");
        }
    }
}
