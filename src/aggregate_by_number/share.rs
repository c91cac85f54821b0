//! A share of the memory that a partition of an operator has set aside.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryReservation;

/// Bytes of a reservation, given back once they are dropped. They are taken whether they are granted or not, which
/// [`MemoryReservation::try_grow`] by nothing tells: the pool divides memory by reservations, so that what belongs together shares one.
pub(super) struct Share {
    reservation: Arc<MemoryReservation>,
    bytes: usize,
}

impl Share {
    pub(super) fn of(reservation: &Arc<MemoryReservation>) -> Self {
        Self { reservation: Arc::clone(reservation), bytes: 0 }
    }

    pub(super) fn resize(&mut self, bytes: usize) {
        self.reservation.grow(bytes.saturating_sub(self.bytes));
        self.reservation.shrink(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
    }

    /// All of it, leaving none.
    pub(super) fn take(&mut self) -> Self {
        let none = Self::of(&self.reservation);
        std::mem::replace(self, none)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.reservation.shrink(self.bytes);
    }
}
