//! The vnode pager: how requests are made, what is read ahead, what is written back and when.

mod common;

#[path = "files/ahead.rs"]
mod ahead;
#[path = "files/writeback.rs"]
mod writeback;
