//! Slots for uploads and scans that are not finished.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::transfer_rate::{TransferRate, WINDOW};

/// A fixed number of slots, which bounds the files on disk.
///
/// An upload has its slot from its first byte on. When there is none left, an upload that is slower than
/// [`LEAST_RATE`](crate::transfer_rate::LEAST_RATE) loses its slot to a new one, and so does one that is not known to
/// be faster if its address has more uploads than that of the new one would. So slow clients cannot keep others out,
/// nor can one that begins ever new uploads.
pub(crate) struct UploadSlots {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    free: usize,
    /// Those being received. An upload that is not here any more was displaced, or is complete.
    uploads: Vec<Arc<Upload>>,
}

struct Upload {
    address: IpAddr,
    transfer: Mutex<TransferRate>,
    displaced: Notify,
}

impl Upload {
    fn transfer(&self) -> MutexGuard<'_, TransferRate> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of asking for a slot.
enum Attempt {
    Taken(UploadSlot),
    Full,
    /// It is known at this time whether an upload that has just begun is slow.
    Wait(Instant),
}

impl UploadSlots {
    pub(crate) fn new(count: usize) -> Self {
        Self { state: Mutex::new(State { free: count, uploads: Vec::new() }), changed: Notify::new() }
    }

    /// A slot for a new upload; `None` when all are taken by scans and by uploads that are fast
    /// enough. Waits at most a little longer than [`WINDOW`], until that is known.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<UploadSlot> {
        let deadline = Instant::now() + WINDOW + WINDOW / 10;
        loop {
            let changed = self.changed.notified();
            let until = match self.attempt(address, Instant::now()) {
                Attempt::Taken(slot) => return Some(slot),
                Attempt::Wait(until) if until <= deadline => until,
                Attempt::Wait(_) | Attempt::Full => return None,
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    fn attempt(self: &Arc<Self>, address: IpAddr, now: Instant) -> Attempt {
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
        } else if let Some(slowest) = state.slowest(address, now) {
            state.uploads.swap_remove(slowest).displaced.notify_one();
        } else {
            let transfers = state.uploads.iter().map(|upload| *upload.transfer());
            let unknown = transfers.filter(|transfer| transfer.rate(now).is_none());
            let next = unknown.map(|transfer| transfer.settled()).min();
            return next.map_or(Attempt::Full, Attempt::Wait);
        }
        let upload = Arc::new(Upload {
            address,
            transfer: Mutex::new(TransferRate::new(now)),
            displaced: Notify::new(),
        });
        state.uploads.push(Arc::clone(&upload));
        Attempt::Taken(UploadSlot { slots: Arc::clone(self), upload: Some(upload) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The upload that loses its slot to a new one from `address`: the slowest of those that are too slow; or, of the
    /// address that has the most, the last one that is not known to be fast.
    fn slowest(&self, address: IpAddr, now: Instant) -> Option<usize> {
        let transfers = || self.uploads.iter().map(|upload| *upload.transfer()).enumerate();
        let slow = transfers().filter(|(_, transfer)| transfer.is_slow(now));
        let rate = |transfer: &TransferRate| transfer.rate(now).unwrap_or(0.0);
        let slowest = slow.min_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)));
        slowest.map(|(index, _)| index).or_else(|| {
            let share =
                |address: IpAddr| self.uploads.iter().filter(|upload| upload.address == address).count();
            let unknown = transfers().filter(|(_, transfer)| transfer.rate(now).is_none());
            let shares = unknown.map(|(index, _)| (share(self.uploads[index].address), index));
            let (most, index) = shares.max()?;
            (most > share(address) + 1).then_some(index)
        })
    }

    /// Removes an upload; whether it was still there.
    fn remove(&mut self, upload: &Arc<Upload>) -> bool {
        let found = self.uploads.iter().position(|other| Arc::ptr_eq(other, upload));
        found.map(|index| self.uploads.swap_remove(index)).is_some()
    }
}

/// A slot of one upload and then of its scan. Dropping it makes it free, unless it was lost.
pub(crate) struct UploadSlot {
    slots: Arc<UploadSlots>,
    /// While the file is being received.
    upload: Option<Arc<Upload>>,
}

impl UploadSlot {
    /// Counts bytes that were just received.
    pub(crate) fn note(&self, bytes: usize) {
        if let Some(upload) = &self.upload {
            upload.transfer().add(bytes, Instant::now());
        }
    }

    /// Waits until the slot is lost to another upload.
    pub(crate) async fn displaced(&self) {
        match &self.upload {
            Some(upload) => upload.displaced.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the slot for the scan; `false` if it was lost already.
    pub(crate) fn keep(&mut self) -> bool {
        let Some(upload) = &self.upload else { return true };
        let kept = self.slots.lock().remove(upload);
        if kept {
            self.upload = None;
        }
        kept
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        if self.upload.as_ref().is_none_or(|upload| state.remove(upload)) {
            state.free += 1;
        }
        drop(state);
        self.slots.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn taken(attempt: Attempt) -> UploadSlot {
        match attempt {
            Attempt::Taken(slot) => slot,
            Attempt::Full | Attempt::Wait(_) => panic!("no slot"),
        }
    }

    fn receive(slot: &UploadSlot, bytes: usize, now: Instant) {
        slot.upload.as_ref().unwrap().transfer().add(bytes, now);
    }

    #[test]
    fn place_is_free_again_when_dropped() {
        let slots = Arc::new(UploadSlots::new(1));
        let now = Instant::now();
        let mut slot = taken(slots.attempt(HERE, now));
        assert!(matches!(slots.attempt(HERE, now), Attempt::Wait(_)));
        assert!(slot.keep());
        assert!(matches!(slots.attempt(HERE, now), Attempt::Full), "scans cannot lose their slot");
        drop(slot);
        assert_eq!(slots.lock().free, 1);
        drop(taken(slots.attempt(HERE, now)));
        assert_eq!(slots.lock().free, 1);
    }

    #[test]
    fn slowest_upload_loses_its_place_after_one_window() {
        let slots = Arc::new(UploadSlots::new(2));
        let now = Instant::now();
        let (slow, mut slower) = (taken(slots.attempt(HERE, now)), taken(slots.attempt(HERE, now)));
        receive(&slow, 1000, now + WINDOW / 2);
        receive(&slower, 10, now + WINDOW / 2);
        let Attempt::Wait(until) = slots.attempt(HERE, now) else { panic!("too early to tell") };
        let mut third = taken(slots.attempt(HERE, until + Duration::from_millis(1)));
        assert!(!slower.keep() && third.keep());
        drop(slower);
        assert_eq!(slots.lock().free, 0, "the slot has a new owner");
        drop(third);
        assert_eq!(slots.lock().free, 1);
        drop(slow);
        assert_eq!(slots.lock().free, 2);
    }

    #[test]
    fn address_with_many_uploads_does_not_block_another() {
        let slots = Arc::new(UploadSlots::new(3));
        let now = Instant::now();
        let mut theirs = [(); 3].map(|()| taken(slots.attempt(THERE, now)));
        let mut first = taken(slots.attempt(HERE, now));
        assert_eq!(theirs.each_mut().map(UploadSlot::keep).iter().filter(|kept| **kept).count(), 2);
        assert!(first.keep());
        let others = Arc::new(UploadSlots::new(2));
        let _one_of_each = [taken(others.attempt(HERE, now)), taken(others.attempt(THERE, now))];
        assert!(matches!(others.attempt(HERE, now), Attempt::Wait(_)), "each has one");
    }

    #[test]
    fn fast_upload_keeps_its_place() {
        let slots = Arc::new(UploadSlots::new(1));
        let now = Instant::now();
        let slot = taken(slots.attempt(HERE, now));
        receive(&slot, 1_000_000, now + WINDOW / 2);
        assert!(matches!(slots.attempt(HERE, now + WINDOW), Attempt::Full));
    }
}
