//! A manager with more memory in use than there is: what leaves is compressed by LZ4, or sealed and
//! written to a disk.

use scalvm::{CompressorStats, MapRequest, PAGE_SIZE, Paging, Prot, SwapOptions, Vm};
use scalvm_codecs::{Lz4, Sealed};
use scalvm_machine::{Disk, Emulated, Pace};

/// How each page of the program begins.
const PLAIN: &[u8] = b"what nobody else is to see, page ";
const PAGES: usize = 700;
const SWAP: u64 = 2000;

/// A page's contents: every third is noise behind its beginning, some are but zeros.
fn page(number: usize, round: usize) -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    if number % 7 == 3 {
        return page;
    }
    let mut state = (number + 1000 * round) as u64;
    for word in page.chunks_mut(8) {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let value = if number.is_multiple_of(3) {
            state
        } else {
            state >> 61
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
    page[..PLAIN.len()].copy_from_slice(PLAIN);
    page[PLAIN.len()..PLAIN.len() + 8].copy_from_slice(&number.to_le_bytes());
    page
}

/// Runs a program that uses 700 pages on 250 frames; tells what the compressor did, and which pages
/// of the disk show how a page begins.
fn run(options: SwapOptions) -> (CompressorStats, Vec<u64>) {
    let vm = Vm::new(Emulated::with_frames(250));
    let ram = vm.machine().segment(0);
    // SAFETY: nobody else uses the emulated machine's memory.
    unsafe { vm.add_segment(ram.start, ram.end) }.unwrap();
    vm.start_paging(Paging::for_frames(250)).unwrap();
    vm.set_compressor(&Lz4, 60).unwrap();
    let disk: &Disk = Box::leak(Box::new(Disk::new(Pace::AtOnce)));
    vm.add_swap(disk, 5, SWAP, options).unwrap();

    let map = vm.new_map(0x1000, 0x7fff_ffff_f000).unwrap();
    let request = MapRequest::anonymous(PAGES * PAGE_SIZE, Prot::RW);
    let at = map.map(request).unwrap();
    for round in 0..3 {
        for number in 0..PAGES {
            // A different third is written anew each time.
            if round == 0 || number % 3 == round {
                let bytes = page(number, round);
                map.write(at + number * PAGE_SIZE, &bytes).unwrap();
            }
        }
        vm.check_invariants();
        for number in 0..PAGES {
            let written = if number % 3 <= round { number % 3 } else { 0 };
            let mut bytes = vec![1; PAGE_SIZE];
            map.read(at + number * PAGE_SIZE, &mut bytes).unwrap();
            assert!(bytes == page(number, written), "page {number}");
        }
        vm.check_invariants();
    }
    let stats = vm.compressor_stats();
    let mut shown = Vec::new();
    for number in 0..SWAP {
        let mut bytes = [0; PLAIN.len()];
        disk.read_file(5, number * PAGE_SIZE as u64, &mut bytes);
        if bytes == PLAIN {
            shown.push(number);
        }
    }
    assert!(disk.counts().pages_written > 200);
    drop(map);
    assert_eq!(vm.compressor_stats().entries, 0);
    vm.each_swap(|swap| assert_eq!(swap.used, 0));
    vm.check_invariants();
    (stats, shown)
}

#[test]
fn memory_is_compressed_and_the_disk_shows_nothing() {
    let key: [u8; 64] = std::array::from_fn(|n| (n * n) as u8);
    let cipher: &Sealed = Box::leak(Box::new(Sealed::new(&key)));
    let (stats, shown) = run(SwapOptions {
        priority: 0,
        cipher: Some(cipher),
    });
    assert_eq!(shown, []);
    assert!(
        stats.stored > 200 && stats.incompressible > 100,
        "{stats:?}"
    );
    assert!(stats.same > 80 && stats.spilled > 100, "{stats:?}");
    let plain = (stats.entries - stats.same) * PAGE_SIZE as u64;
    assert!(stats.bytes * 2 < plain, "{stats:?}");
    let (_, shown) = run(SwapOptions::default());
    assert!(shown.len() > 100, "without a cipher it would have");
}
