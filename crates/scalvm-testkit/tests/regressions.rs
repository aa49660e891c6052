//! One test per behaviour that some memory manager once got wrong.

mod common;

#[path = "regressions/cost.rs"]
mod cost;
#[path = "regressions/cow.rs"]
mod cow;
#[path = "regressions/files.rs"]
mod files;
#[path = "regressions/held.rs"]
mod held;
#[path = "regressions/maps.rs"]
mod maps;
#[path = "regressions/pagers.rs"]
mod pagers;
#[path = "regressions/pages.rs"]
mod pages;
#[path = "regressions/sharing.rs"]
mod sharing;
