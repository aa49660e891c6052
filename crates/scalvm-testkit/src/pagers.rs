//! Pagers written in Rust, as examples that are tested.
//!
//! # An object whose pages are computed
//!
//! ```
//! use scalvm::{Io, MapRequest, PAGE_SIZE, Prot, Request, Share, Vm, Pager};
//! use scalvm_testkit::{Hw, Kit};
//!
//! /// Each word of the object is the square of its number.
//! struct Squares;
//!
//! impl Pager<Hw> for Squares {
//!     fn read_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
//!         let mut request = Request::new(vm, io);
//!         let words = request.io().frames().len() * PAGE_SIZE / 8;
//!         let first = request.io().index() * (PAGE_SIZE / 8) as u64;
//!         for n in 0..words {
//!             let square = (first + n as u64).pow(2);
//!             request.fill(8 * n, &square.to_le_bytes());
//!         }
//!         request.done(Ok(()));
//!     }
//!
//!     fn write_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
//!         // Nothing is kept: what was changed is computed anew when it is next needed.
//!         Request::new(vm, io).done(Ok(()));
//!     }
//! }
//!
//! let kit = Kit::new(1024);
//! let object = kit.vm().new_vnode(&Squares, 0, 1 << 20).unwrap();
//! let map = kit.vm().new_map(1 << 16, 1 << 40).unwrap();
//! let request = MapRequest::object(&object, 0, 1 << 20, Prot::READ, Share::Shared);
//! let at = map.map(request).unwrap();
//! let mut word = [0; 8];
//! map.read(at + 8 * 1000, &mut word).unwrap();
//! assert_eq!(u64::from_le_bytes(word), 1_000_000);
//! ```
//!
//! # An object whose pages come from another thread
//!
//! ```
//! use std::sync::mpsc;
//! use std::sync::{Mutex, OnceLock};
//!
//! use scalvm::{FaultError, Io, PAGE_SIZE, PagerError, Request, Vm, Pager};
//! use scalvm_testkit::{Hw, Kit, Order};
//!
//! type Queue = mpsc::Sender<Request<'static, Hw>>;
//!
//! /// Puts requests into the queue of a thread.
//! struct Remote {
//!     vm: &'static Vm<Hw>,
//!     queue: Mutex<Queue>,
//! }
//!
//! impl Remote {
//!     fn hand_over(&self, io: Io<Hw>) {
//!         // If the thread is gone, the request comes back, is dropped, and so fails.
//!         let _ = self.queue.lock().unwrap().send(Request::new(self.vm, io));
//!     }
//! }
//!
//! impl Pager<Hw> for Remote {
//!     fn read_pages(&self, _: &Vm<Hw>, io: Io<Hw>) {
//!         self.hand_over(io);
//!     }
//!     fn write_pages(&self, _: &Vm<Hw>, io: Io<Hw>) {
//!         self.hand_over(io);
//!     }
//!     fn cluster(&self) -> usize {
//!         1
//!     }
//! }
//!
//! static REMOTE: OnceLock<Remote> = OnceLock::new();
//!
//! let kit = Kit::with(Order {
//!     runtime: Some(Box::new(scalvm_machine::Threads::new())),
//!     ..Order::default()
//! });
//! // Requests that are kept need a manager that stays.
//! let kit: &'static Kit = Box::leak(Box::new(kit));
//! let (queue, requests) = mpsc::channel::<Request<Hw>>();
//! let remote = REMOTE.get_or_init(|| Remote { vm: kit.vm(), queue: Mutex::new(queue) });
//! let object = kit.vm().new_vnode(remote, 0, 3 * PAGE_SIZE as u64).unwrap();
//!
//! // It serves two pages, takes one request more, and dies.
//! let serve = move || {
//!     for mut request in requests.iter().take(2) {
//!         let page = request.io().index() as u8;
//!         request.fill(0, &[b'a' + page; PAGE_SIZE]);
//!         request.done(Ok(()));
//!     }
//!     drop(requests.recv());
//! };
//! let gone = Err(FaultError::Pager(PagerError::Gone));
//! std::thread::scope(|scope| {
//!     // On a processor of its own.
//!     let server = scope.spawn(|| kit.on(1, serve));
//!     let mut byte = [0];
//!     for page in 0..2 {
//!         object.read_at(page * PAGE_SIZE as u64, &mut byte).unwrap();
//!         assert_eq!(byte[0], b'a' + page as u8);
//!     }
//!     assert_eq!(object.read_at(2 * PAGE_SIZE as u64, &mut byte), gone);
//!     server.join().unwrap();
//!     // And so does all that is asked later.
//!     assert_eq!(object.read_at(2 * PAGE_SIZE as u64, &mut byte), gone);
//! });
//! ```
