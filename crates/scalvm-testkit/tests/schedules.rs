//! Scenes in which several threads work on the same memory: each under many schedules of one host thread, which
//! `shuttle` chooses at each use of a lock, and with threads of the host.
//!
//! `SCALVM_SCHEDULES` says how many schedules of each scene are tried (of some a multiple), and three times as many rounds
//! with the host's threads. A schedule that fails is printed; `shuttle::replay` runs it again.

mod common;

#[path = "schedules/advice.rs"]
mod advice;
#[path = "schedules/chaos.rs"]
mod chaos;
#[path = "schedules/crew.rs"]
mod crew;
#[path = "schedules/files.rs"]
mod files;
#[path = "schedules/kmem.rs"]
mod kmem;
#[path = "schedules/large.rs"]
mod large;
#[path = "schedules/limits.rs"]
mod limits;
#[path = "schedules/memory.rs"]
mod memory;
#[path = "schedules/paging.rs"]
mod paging;
#[path = "schedules/rules.rs"]
mod rules;
#[path = "schedules/sharing.rs"]
mod sharing;
#[path = "schedules/watch.rs"]
mod watch;

use crew::{Hosted, Scheduled};

macro_rules! scenes {
    ($($file:ident::$scene:ident $(* $times:literal)?,)*) => {
        scenes! { scheduled hosted $($file::$scene $(* $times)?,)* }
    };
    ($scheduled:ident $hosted:ident $($file:ident::$scene:ident $(* $times:literal)?,)*) => {
        /// Under schedules of shuttle's.
        mod $scheduled {
            $(#[test] fn $scene() { super::Scheduled::explore(crate::$file::$scene, 1 $(* $times)?); })*
        }
        /// With the host's threads.
        mod $hosted {
            $(#[test] fn $scene() { super::Hosted::repeat(crate::$file::$scene); })*
        }
    };
}

scenes! {
    memory::stores_to_one_page,
    memory::stores_to_one_entry,
    memory::stores_to_several_entries,
    memory::loads_see_stores_and_go_on_seeing_them,
    memory::stores_while_unmapped,
    memory::stores_while_rights_change,
    memory::stores_while_forked,
    memory::holders_write_while_forked,
    memory::stores_from_both_sides_of_a_fork,
    memory::stores_from_three_sides,
    memory::stores_while_a_child_ends,
    memory::stores_to_shared_memory_of_which_a_copy_exists,
    memory::stores_while_discarded,
    memory::stores_while_moved,
    memory::two_forks_at_once,
    memory::stores_while_memory_is_short,
    memory::kernel_reads_while_unmapped,
    memory::a_copy_is_seen_by_all_processors_at_once,
    files::two_faults_on_one_page_read_it_once,
    files::two_faults_on_a_page_that_fails,
    files::stores_while_synced,
    files::synced_while_mappings_change,
    files::stores_while_written_back,
    files::readers_are_kept_ahead_of,
    files::stores_while_truncated,
    files::copies_while_truncated,
    files::an_object_ends_while_it_is_read,
    files::writes_meet_mapped_stores,
    files::held_pages_meet_truncation,
    files::two_syncs_at_once,
    files::copies_while_the_file_is_read,
    files::stores_while_replaced_by_a_shared_mapping,
    files::a_child_ends_while_its_file_is_truncated,
    files::reads_while_truncated,
    large::faults_at_once_bring_one_row,
    large::stores_while_split_and_joined,
    large::stores_while_moved_to_a_row,
    large::forked_while_joined,
    large::joined_while_pages_leave,
    limits::stores_while_trimmed,
    limits::loads_while_trimmed_with_a_copy,
    limits::trimmed_while_unmapped_and_mapped,
    limits::trimmed_while_forked,
    limits::maps_end_while_the_balancer_trims,
    limits::stores_to_a_map_that_keeps_to_its_limit,
    limits::files_are_trimmed_while_truncated,
    limits::no_more_is_promised_than_there_may_be,
    limits::trimmed_while_pages_leave,
    advice::stores_while_given_up,
    advice::forked_while_given_up,
    advice::stores_while_told_to_leave,
    advice::stores_to_a_file_while_it_is_invalidated,
    rules::two_grow_one_stack,
    rules::a_stack_meets_a_mapping,
    // Short, and what it looks for is one step wide.
    rules::wired_while_pages_leave * 20,
    rules::wired_while_the_object_is_cut,
    rules::two_wire_up_to_a_limit,
    rules::sealed_while_unmapped,
    rules::stores_while_moved_and_kept,
    chaos::whatever_comes_to_mind,
    chaos::whatever_comes_to_mind_while_pages_leave,
    chaos::whatever_comes_to_mind_while_pages_leave_and_much_fails,
    chaos::whatever_comes_to_mind_while_much_fails,
    paging::stores_while_pages_leave,
    paging::stores_while_pages_are_compressed,
    paging::sharers_decompress_a_page,
    paging::forks_while_pages_leave,
    paging::sharers_bring_a_page_back,
    paging::memory_ends_while_it_leaves,
    paging::an_object_is_cut_while_it_leaves,
    paging::held_pages_stay,
    paging::held_pages_are_forked_while_they_leave,
    paging::file_pages_leave,
    paging::a_device_is_removed_while_used,
    paging::a_device_is_removed_while_memory_ends,
    paging::pages_leave_to_a_disk_that_fails,
    sharing::stores_while_lent,
    sharing::lent_while_it_leaves,
    sharing::a_file_is_written_while_lent,
    sharing::stores_while_copied,
    sharing::stores_while_moved_away,
    sharing::forked_while_passed_on,
    sharing::copied_across_while_unmapped,
    watch::a_missing_page_is_placed_once,
    watch::a_watcher_goes_while_pages_are_missing,
    watch::a_page_moves_while_it_is_written,
    watch::writes_are_told_of_while_protection_changes,
}

scenes! {
    scheduled_kmem hosted_kmem
    kmem::magazines_are_emptied_while_their_owners_allocate,
    kmem::one_allocates_what_another_frees,
    kmem::memory_ends_while_it_is_reclaimed,
    kmem::a_limit_is_met_by_several_at_once,
    kmem::all_who_wait_at_a_limit_are_served,
    kmem::a_type_goes_while_its_memory_is_freed,
    kmem::all_who_wait_for_numbers_are_served,
    kmem::spans_come_and_go,
    kmem::wired_memory_comes_and_goes,
    kmem::whatever_comes_to_mind,
}
