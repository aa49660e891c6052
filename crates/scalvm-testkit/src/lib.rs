//! The proof of the scalvm virtual memory manager: a conformance suite for page-table ports.

pub mod conformance;
