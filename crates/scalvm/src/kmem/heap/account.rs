//! Who is told of each piece of the heap.

/// Is told of each piece that comes and goes, with the processor pinned: so what it keeps for that
/// processor needs no atomic change. It takes no piece itself, and `charge` and `credit_quickly` take no
/// lock: there may be a magazine locked.
pub(crate) trait Account {
    /// Charges a piece before it is taken: false refuses it.
    fn charge(&self, cpu: usize, bucket: usize, bytes: usize) -> bool;

    /// A piece has come back, or could not be had after it was charged.
    fn credit(&self, cpu: usize, bucket: usize, bytes: usize);

    /// A piece is about to come back, if that is simple; false refuses it, and leaves it to
    /// [`credit`](Account::credit).
    #[inline(always)]
    fn credit_quickly(&self, cpu: usize, bucket: usize, bytes: usize) -> bool {
        self.credit(cpu, bucket, bytes);
        true
    }
}

/// No account.
impl Account for () {
    #[inline(always)]
    fn charge(&self, _cpu: usize, _bucket: usize, _bytes: usize) -> bool {
        true
    }

    #[inline(always)]
    fn credit(&self, _cpu: usize, _bucket: usize, _bytes: usize) {}
}
