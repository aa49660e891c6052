//! stub
use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::Page;
use crate::pager::Handle;
use crate::vm::Vm;
pub(crate) enum Put {
    #[allow(dead_code)]
    Stored(Handle),
    #[allow(dead_code)]
    Incompressible,
    Full,
}
pub(crate) struct Compressor;
impl Compressor {
    pub fn is_on(&self) -> bool {
        false
    }
    pub fn entries(&self) -> u64 {
        0
    }
    pub fn put<M: Machine>(&self, _vm: &Vm<M>, _p: Ptr<Page>, _a: Ptr<Anon<M>>) -> Put {
        Put::Full
    }
    pub fn get<M: Machine>(
        &self,
        _vm: &Vm<M>,
        _h: Handle,
        _a: Ptr<Anon<M>>,
        _p: Ptr<Page>,
    ) -> bool {
        false
    }
    pub fn free<M: Machine>(&self, _vm: &Vm<M>, _h: Handle, _a: Ptr<Anon<M>>) -> bool {
        true
    }
}
