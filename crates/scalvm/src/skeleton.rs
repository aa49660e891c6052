use core::alloc::Layout;
use core::marker::PhantomData;
use crate::*;
use crate::object::Object;

/// The manager.
pub struct Vm<M: Machine> { machine: M }
impl<M: Machine> Vm<M> {
    /// .
    pub const fn new(machine: M) -> Self { Vm { machine } }
    /// .
    pub fn machine(&self) -> &M { &self.machine }
    /// .
    /// # Safety
    /// .
    pub unsafe fn add_segment(&self, _start: Frame, _end: Frame) -> Result<(), SegmentError> { todo!() }
    /// .
    pub fn new_map(&self, _low: usize, _high: usize) -> Result<Map<'_, M>, OutOfMemory> { todo!() }
    /// .
    pub fn new_anonymous(&self, _size: u64) -> Result<Object<'_, M>, OutOfMemory> { todo!() }
    /// .
    pub fn new_vnode(&self, _vnode: &'static dyn Vnode<M>, _cookie: usize, _size: u64) -> Result<Object<'_, M>, OutOfMemory> { todo!() }
    /// .
    pub fn new_device(&self, _first: Frame, _size: u64, _cache: Cache) -> Result<Object<'_, M>, OutOfMemory> { todo!() }
    /// .
    pub fn io_done(&self, _io: Io<M>, _result: Result<(), PagerError>) { todo!() }
    /// .
    pub fn alloc_frames(&self, _order: u32) -> Result<Frame, OutOfMemory> { todo!() }
    /// .
    pub fn alloc_frames_below(&self, _order: u32, _limit: Frame) -> Result<Frame, OutOfMemory> { todo!() }
    /// .
    /// # Safety
    /// .
    pub unsafe fn free_frames(&self, _first: Frame, _order: u32) { todo!() }
    /// .
    pub fn kmem_alloc(&self, _layout: Layout) -> *mut u8 { todo!() }
    /// .
    /// # Safety
    /// .
    pub unsafe fn kmem_free(&self, _ptr: *mut u8, _layout: Layout) { todo!() }
    /// .
    pub fn stats(&self) -> Stats { todo!() }
    /// .
    pub fn check_invariants(&self) { todo!() }
}
/// .
pub struct Map<'v, M: Machine> { vm: &'v Vm<M> }
impl<'v, M: Machine> Map<'v, M> {
    /// .
    pub fn map(&self, _request: MapRequest<'_, 'v, M>) -> Result<usize, MapError> { todo!() }
    /// .
    pub fn unmap(&self, _start: usize, _len: usize) -> Result<(), MapError> { todo!() }
    /// .
    pub fn protect(&self, _start: usize, _len: usize, _prot: Prot) -> Result<(), MapError> { todo!() }
    /// .
    pub fn inherit(&self, _start: usize, _len: usize, _inherit: Inherit) -> Result<(), MapError> { todo!() }
    /// .
    pub fn advise(&self, _start: usize, _len: usize, _advice: Advice) -> Result<(), MapError> { todo!() }
    /// .
    pub fn discard(&self, _start: usize, _len: usize) -> Result<(), MapError> { todo!() }
    /// .
    pub fn remap(&self, _old: usize, _old_len: usize, _new_len: usize, _how: Remap) -> Result<usize, MapError> { todo!() }
    /// .
    pub fn wire(&self, _start: usize, _len: usize) -> Result<(), MapError> { todo!() }
    /// .
    pub fn unwire(&self, _start: usize, _len: usize) -> Result<(), MapError> { todo!() }
    /// .
    pub fn sync(&self, _start: usize, _len: usize) -> Result<(), MapError> { todo!() }
    /// .
    pub fn populate(&self, _start: usize, _len: usize) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn query(&self, _addr: usize) -> Option<Region> { todo!() }
    /// .
    pub fn fork(&self) -> Result<Map<'v, M>, OutOfMemory> { todo!() }
    /// .
    pub fn clear(&self) { todo!() }
    /// .
    pub fn fault(&self, _addr: usize, _access: Access) -> Fault<'v> { todo!() }
    /// .
    pub fn fault_wait(&self, _addr: usize, _access: Access) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn activate(&self) { todo!() }
    /// .
    pub fn deactivate(&self) { todo!() }
    /// .
    pub fn read(&self, _addr: usize, _buf: &mut [u8]) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn write(&self, _addr: usize, _buf: &[u8]) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn usage(&self) -> MapUsage { todo!() }
    /// .
    pub fn pmap(&self) -> &M::Pmap { todo!() }
    /// .
    pub fn vm(&self) -> &'v Vm<M> { self.vm }
    /// .
    pub fn check_invariants(&self) { todo!() }
}
/// .
pub enum Fault<'v> {
    /// .
    Resolved,
    /// .
    Wait(Ticket<'v>),
    /// .
    NoMapping,
    /// .
    Protection,
    /// .
    BeyondEnd,
    /// .
    OutOfMemory,
    /// .
    Pager(PagerError),
}
/// .
pub struct Ticket<'v> { _p: PhantomData<&'v ()> }
impl<'v> Ticket<'v> {
    /// .
    pub fn wait<M: Machine>(&self, _vm: &Vm<M>) { todo!() }
}
/// .
pub trait Vnode<M: Machine>: Sync {
    /// .
    fn read_pages(&self, vm: &Vm<M>, io: Io<M>);
    /// .
    fn write_pages(&self, vm: &Vm<M>, io: Io<M>);
    /// .
    fn cluster(&self) -> usize { 16 }
    /// .
    fn released(&self, _cookie: usize) {}
}
/// .
pub struct Io<M: Machine> { _p: PhantomData<M> }
impl<M: Machine> Io<M> {
    /// .
    pub fn cookie(&self) -> usize { todo!() }
    /// .
    pub fn index(&self) -> u64 { todo!() }
    /// .
    pub fn frames(&self) -> &[Frame] { todo!() }
    /// .
    pub fn len_bytes(&self) -> usize { todo!() }
}
