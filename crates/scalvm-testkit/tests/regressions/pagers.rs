//! Requests that their pager keeps.

use std::sync::Mutex;

use scalvm::{
    Access, Advice, Fault, FaultError, Io, PAGE_SIZE, Pager, PagerError, Request, Share, Vm,
};
use scalvm_testkit::{Hw, Kit};

use crate::common::*;

/// Keeps all requests until a test answers them.
struct Keeper {
    vm: &'static Vm<Hw>,
    kept: Mutex<Vec<Request<'static, Hw>>>,
}

impl Keeper {
    fn new(kit: &'static Kit) -> &'static Keeper {
        let keeper = Keeper {
            vm: kit.vm(),
            kept: Mutex::default(),
        };
        Box::leak(Box::new(keeper))
    }

    fn next(&self) -> Request<'static, Hw> {
        self.kept.lock().expect("alone").remove(0)
    }
}

impl Pager<Hw> for Keeper {
    fn read_pages(&self, _: &Vm<Hw>, io: Io<Hw>) {
        let request = Request::new(self.vm, io);
        self.kept.lock().expect("alone").push(request);
    }

    fn write_pages(&self, _: &Vm<Hw>, io: Io<Hw>) {
        let request = Request::new(self.vm, io);
        self.kept.lock().expect("alone").push(request);
    }

    fn cluster(&self) -> usize {
        1
    }
}

#[test]
fn a_request_is_answered_later_or_fails_when_it_is_dropped() {
    // As long as its pager, which is for ever.
    let kit = &*Box::leak(Box::new(kit()));
    let keeper = Keeper::new(kit);
    let object = kit.vm().new_vnode(keeper, 0, PAGE_SIZE as u64);
    let object = object.expect("memory");
    let map = new_map(kit);
    map_object(&map, &object, 0, 1, Share::Shared);
    for answered in [false, true] {
        let Fault::Wait(ticket) = map.fault(page(0), Access::Read) else {
            panic!("the page is somewhere else");
        };
        assert!(!ticket.is_due());
        let mut request = keeper.next();
        assert!(request.is_wanted());
        request.fill(PAGE_SIZE - 3, b"abcdef");
        if answered {
            request.done(Ok(()));
        } else {
            drop(request);
        }
        assert!(ticket.is_due(), "who waits is woken in either case");
        let must = match answered {
            true => Ok(()),
            false => Err(FaultError::Pager(PagerError::Gone)),
        };
        assert_eq!(fault(kit, &map, page(0), Access::Read), must);
    }
    let mut end = [0; 3];
    assert_eq!(map.read(page(0) + PAGE_SIZE - 3, &mut end), Ok(()));
    assert_eq!(&end, b"abc");
    drop((map, object));
    nothing_left(kit);
}

#[test]
fn a_request_that_nobody_wants_any_more_says_so() {
    // As long as its pager, which is for ever.
    let kit = &*Box::leak(Box::new(kit()));
    let keeper = Keeper::new(kit);
    let object = kit.vm().new_vnode(keeper, 0, 3 * PAGE_SIZE as u64);
    let object = object.expect("memory");
    let map = new_map(kit);
    map_object(&map, &object, 0, 3, Share::Shared);
    // Nothing is asked for but what is needed: each request keeps the object.
    let random = map.advise(page(0), 3 * PAGE_SIZE, Advice::Random);
    assert_eq!(random, Ok(()));
    let Fault::Wait(ticket) = map.fault(page(2), Access::Read) else {
        panic!("the page is somewhere else");
    };
    let request = keeper.next();
    assert!(request.is_wanted());
    assert_eq!(object.set_size(2 * PAGE_SIZE as u64), Ok(()));
    assert!(!request.is_wanted(), "it was cut off");
    request.done(Ok(()));
    assert!(ticket.is_due());
    assert_eq!(
        fault(kit, &map, page(2), Access::Read),
        Err(FaultError::BeyondEnd)
    );
    let Fault::Wait(_) = map.fault(page(0), Access::Read) else {
        panic!("the page is somewhere else");
    };
    let request = keeper.next();
    drop((map, object));
    assert!(!request.is_wanted(), "all have gone");
    drop(request);
    nothing_left(kit);
}
