//! The name of a slot.

/// The most swap devices.
pub(crate) const DEVICES: usize = 32;

const PAGE_BITS: u32 = u32::BITS;

/// A page's place on a swap device. As a number: the device in bits 36-32, the page in bits 31-0;
/// the bits above are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Slot {
    device: u8,
    page: u32,
}

impl Slot {
    /// A page of a device, which is below [`DEVICES`].
    pub const fn new(device: u32, page: u32) -> Slot {
        Slot {
            device: device as u8 % DEVICES as u8,
            page,
        }
    }

    /// The number of its device among the manager's.
    #[inline]
    pub const fn device(self) -> u32 {
        self.device as u32
    }

    /// The number of the page on the device.
    #[inline]
    pub const fn page(self) -> u32 {
        self.page
    }

    /// A number that no other slot has.
    #[inline]
    pub const fn pack(self) -> u64 {
        (self.device as u64) << PAGE_BITS | self.page as u64
    }

    /// The reverse of [`pack`](Slot::pack); bits above 36 do not count.
    #[inline]
    pub const fn unpack(word: u64) -> Slot {
        Slot::new((word >> PAGE_BITS) as u32 % DEVICES as u32, word as u32)
    }

    /// The same number, as the tweak of a cipher.
    #[inline]
    pub const fn number(self) -> u64 {
        self.pack()
    }

    /// The slot so many pages further on the same device.
    #[inline]
    pub fn offset_by(self, pages: i64) -> Option<Slot> {
        let page = i64::from(self.page).checked_add(pages)?;
        Some(Slot::new(self.device(), u32::try_from(page).ok()?))
    }
}
