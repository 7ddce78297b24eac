//! Measures the peak memory of a piece of work, counting only allocations of its own thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread::AccessError;

thread_local! {
    /// The bytes that this thread has allocated and not freed since the count began, and their maximum.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    // A thread that is ending may free memory after its counter was destroyed.
    let counted: Result<(), AccessError> = HELD.try_with(|held| {
        let (now, peak) = held.get();
        let now = now.saturating_add(bytes);
        held.set((now, peak.max(now)));
    });
    counted.unwrap_or(());
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[expect(
    unsafe_code,
    reason = "only an allocator sees every allocation; this one forwards all of them to the system's allocator"
)]
// SAFETY: every method passes its arguments to the system's allocator and returns its result. The counting does not
// touch the caller's memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(signed(bytes).saturating_sub(signed(layout.size())));
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Returns the result of the work, and the most bytes that it used at once.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.with(|held| held.set((0, 0)));
    let given = work();
    let (_, peak) = HELD.with(Cell::get);
    (given, usize::try_from(peak).unwrap_or(0))
}

#[test]
fn a_large_allocation_is_counted() {
    let (sum, bytes) = peak(|| vec![1_u8; 3 << 20].iter().map(|&byte| u64::from(byte)).sum::<u64>());
    assert!(sum == 3 << 20 && bytes >= 3 << 20, "{bytes}");
}
