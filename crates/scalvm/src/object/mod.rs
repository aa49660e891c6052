//! .
use core::marker::PhantomData;
use crate::*;
/// .
pub struct Object<'v, M: Machine> { vm: &'v Vm<M> }
impl<'v, M: Machine> Clone for Object<'v, M> { fn clone(&self) -> Self { Object { vm: self.vm } } }
impl<'v, M: Machine> Object<'v, M> {
    /// .
    pub fn id(&self) -> u64 { todo!() }
    /// .
    pub fn size(&self) -> u64 { todo!() }
    /// .
    pub fn set_cookie(&self, _c: usize) { todo!() }
    /// .
    pub fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize, FaultError> { todo!() }
    /// .
    pub fn write_at(&self, _offset: u64, _buf: &[u8]) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn hold(&self, _index: u64, _access: Access) -> Result<HeldPage<'v, M>, FaultError> { todo!() }
    /// .
    pub fn set_size(&self, _bytes: u64) -> Result<(), FaultError> { todo!() }
    /// .
    pub fn sync(&self, _offset: u64, _len: u64) -> Result<(), PagerError> { todo!() }
    /// .
    pub fn resident(&self) -> u64 { todo!() }
}
/// .
pub struct HeldPage<'v, M: Machine> { _p: PhantomData<&'v M> }
impl<'v, M: Machine> HeldPage<'v, M> {
    /// .
    pub fn frame(&self) -> Frame { todo!() }
    /// .
    pub fn as_ptr(&self) -> *mut u8 { todo!() }
}
