//! The library that the kernel maps into each program: a page of parameters, and behind it the
//! code.

use scalvm::{MapRequest, PAGE_SIZE, Place, Prot, Share};

use super::space::Space;
use crate::arch::{time, vdso};
use crate::linux::Errno;
use crate::mm::{Object, VM};
use crate::sync::Mutex;

static PAGES: Mutex<Option<Object>> = Mutex::new(None);

const SIZE: usize = 2 * PAGE_SIZE;

/// Makes the library.
pub fn init() -> Result<(), Errno> {
    let object = VM.new_anonymous(SIZE as u64)?;
    let image = vdso::image();
    assert!(
        image.len() <= PAGE_SIZE,
        "the library for programs is larger than its page"
    );
    object.write_at(PAGE_SIZE as u64, image)?;
    *PAGES.lock() = Some(object);
    update()
}

/// Tells programs what the clocks are now: after boot, and when the time of day has been set.
pub fn update() -> Result<(), Errno> {
    let object = PAGES.lock().clone();
    let Some(object) = object else { return Ok(()) };
    let words = time::parameters();
    for (i, word) in words.iter().enumerate() {
        object.write_at((i * size_of::<u64>()) as u64, &word.to_le_bytes())?;
    }
    Ok(())
}

/// Maps the library. Returns where it starts.
pub fn map(space: &Space) -> Result<Option<usize>, Errno> {
    let object = PAGES.lock().clone();
    let Some(object) = object else {
        return Ok(None);
    };
    let request = MapRequest {
        max_prot: Prot::RX,
        ..MapRequest::object(&object, 0, SIZE, Prot::RX, Share::Shared)
    };
    let at = space.map(request.at(Place::Anywhere))?;
    Ok(Some(at + PAGE_SIZE))
}
