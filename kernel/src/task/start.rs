//! The first process, and what happens when it ends.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use linux_raw_sys::prctl::PR_MDWE_REFUSE_EXEC_GAIN;

use super::clock::default_limits;
use super::exit::Nothing;
use super::pid::{self, NewPid};
use super::process::{Parts, Process};
use super::signal::Actions;
use super::space::{Layout, Space};
use super::stack::Strings;
use super::thread::{Start, Thread};
use super::{Pid, exec, sched, set_randomize_va_space, table, vdso};
use crate::arch::frame::Frame;
use crate::arch::print::tell;
use crate::boot_options::BootOptions;
use crate::fs::procfs::kmem;
use crate::fs::text::Text;
use crate::fs::{self, FileTable, memory};
use crate::linux::Errno;
use crate::mm::{daemons, paging};
use crate::println;
use crate::sync::Mutex;

/// The number of the first process.
pub(super) const INIT: Pid = 1;

static NOTHING: Mutex<Option<Nothing>> = Mutex::new(None);
static PRINT_STATS: AtomicBool = AtomicBool::new(false);

/// What a zombie has; none before [`start_init`].
pub(super) fn nothing() -> Option<Nothing> {
    NOTHING.lock().clone()
}

/// Starts the first process as the options say. Returns only if that fails.
pub fn start_init(options: &BootOptions) -> Result<(), Errno> {
    PRINT_STATS.store(options.print_stats, Relaxed);
    if options.fixed_addresses {
        set_randomize_va_space(0)?;
    }
    *NOTHING.lock() = Some(Nothing {
        space: Space::new(&Layout::choose(0, true))?,
        files: memory::arc(Mutex::new(FileTable::new()))?,
        args: memory::arc(Strings::new().into_bytes())?,
        exe: memory::arc(String::new())?,
    });
    vdso::init()?;
    let thread = load_init(&options.program, options.refuse_exec_gain)?;
    daemons::start()?;
    sched::make_ready(&thread);
    drop(thread);
    sched::give_up();
    Ok(())
}

fn load_init(args: &[Vec<u8>], refuse_exec_gain: bool) -> Result<alloc::sync::Arc<Thread>, Errno> {
    let path = args.first().ok_or(Errno::ENOENT)?;
    let (mut strings, mut env) = (Strings::new(), Strings::new());
    for arg in args {
        strings.push(arg)?;
    }
    for variable in ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=vt100"] {
        env.push(variable.as_bytes())?;
    }
    let (context, files) = fs::first_process()?;
    let executor = exec::Executor {
        limits: default_limits(),
        fixed: false,
    };
    let loaded = exec::load(&context, path, strings, &env, &executor)?;
    if refuse_exec_gain {
        loaded.space.set_mdwe(PR_MDWE_REFUSE_EXEC_GAIN);
    }
    pid::init()?;
    let number = NewPid::new()?;
    let pid = number.get();
    let process = memory::arc(Process::new(
        pid,
        Parts {
            space: loaded.space,
            files: memory::arc(Mutex::new(files))?,
            fs: memory::arc(Mutex::new(context))?,
            actions: memory::arc(Mutex::new(Actions::new()))?,
            args: loaded.args,
            exe: loaded.exe,
        },
    ))?;
    process.set_comm(&loaded.name);
    let registers = Frame::for_program(loaded.entry, loaded.sp);
    let thread = Thread::new(pid, process.clone(), Start::Program(&registers))?;
    memory::push(&mut *process.threads.lock(), thread.clone())?;
    table::add(process)?;
    number.keep();
    table::thread_begins();
    Ok(thread)
}

/// The first process has ended with this status, as wait(2) reports it: the end.
pub fn power_off(status: i32) -> ! {
    if fs::shut_down().is_err() {
        println!("scalvm: not everything could be written to the disks");
    }
    if PRINT_STATS.load(Relaxed) {
        paging::for_each_counter(|name, value| println!("scalvm: {name} {value}"));
        print_tables();
    }
    let signal = status & 0x7f;
    crate::arch::power_off(if signal != 0 {
        128 + signal
    } else {
        status >> 8 & 0xff
    })
}

/// Tells whoever started the emulator what is in the files about kernel memory, line by line.
fn print_tables() {
    for (name, make) in kmem::TABLES {
        let mut text = Text::default();
        if make(&mut text).is_err() {
            continue;
        }
        for line in text.as_bytes().split(|byte| *byte == b'\n') {
            if let Ok(line) = core::str::from_utf8(line)
                && !line.is_empty()
            {
                tell(format_args!("table {name} {line}"));
            }
        }
    }
}
