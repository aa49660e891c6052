//! A new program.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::RLIMIT_STACK;

use super::clock::Limits;
use super::elf::Elf;
use super::pid::release;
use super::signal::AltStack;
use super::space::{Layout, Space};
use super::stack::{self, Args, Strings, Told};
use super::{exit, sched, vdso};
use crate::arch::fpu;
use crate::arch::frame::Frame;
use crate::arch::layout::USER_HIGH;
use crate::fs::{Executable, FsContext, memory, open_exec};
use crate::ipc::shm;
use crate::linux::{Errno, robust};
use crate::sync::Mutex;

/// The personality that wants no chance in its addresses.
const ADDR_NO_RANDOMIZE: u32 = 0x4_0000;
/// The most scripts that may stand before a program.
const MAX_SCRIPTS: usize = 5;
/// Bytes of a script's first line that count.
const SCRIPT_HEAD: usize = 256;

/// What a process that executes a program brings along.
pub(super) struct Executor {
    pub limits: Limits,
    /// Whether it wants to find its memory where it was the last time.
    pub fixed: bool,
}

/// A program in an address space of its own, ready to run.
pub(super) struct Loaded {
    pub space: Arc<Space>,
    pub entry: usize,
    pub sp: usize,
    pub exe: Arc<String>,
    pub name: Vec<u8>,
    pub args: Arc<Args>,
}

/// Loads a program, or the one that a script names. Blocks.
pub(super) fn load(
    context: &FsContext,
    path: &[u8],
    mut args: Strings,
    env: &Strings,
    executor: &Executor,
) -> Result<Loaded, Errno> {
    let mut file = open_exec(context, path)?;
    let mut name = memory::vec(path)?;
    for _ in 0..MAX_SCRIPTS {
        match script(&file, &name, &args)? {
            None => return load_elf(context, file, path, args, env, executor),
            Some((interpreter, new_args)) => {
                file = open_exec(context, &interpreter)?;
                name = interpreter;
                args = new_args;
            }
        }
    }
    Err(Errno::ELOOP)
}

/// If the file is a script: the program that runs it, and that one's arguments.
fn script(
    file: &Executable,
    path: &[u8],
    args: &Strings,
) -> Result<Option<(Vec<u8>, Strings)>, Errno> {
    let mut head = [0u8; SCRIPT_HEAD];
    let len = file.object.read_at(0, &mut head)?;
    let Some(line) = head[..len].strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => &line[..end],
        None if len < SCRIPT_HEAD => line,
        None => return Err(Errno::ENOEXEC),
    };
    let line = line.trim_ascii();
    let space = line.iter().position(|byte| *byte == b' ' || *byte == b'\t');
    let (interpreter, argument) = line.split_at(space.unwrap_or(line.len()));
    if interpreter.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let mut new = Strings::new();
    new.push(interpreter)?;
    let argument = argument.trim_ascii_start();
    if !argument.is_empty() {
        new.push(argument)?;
    }
    new.push(path)?;
    for arg in args.iter().skip(1) {
        new.push(arg)?;
    }
    Ok(Some((memory::vec(interpreter)?, new)))
}

fn load_elf(
    context: &FsContext,
    file: Executable,
    path: &[u8],
    args: Strings,
    env: &Strings,
    executor: &Executor,
) -> Result<Loaded, Errno> {
    let elf = Elf::read(&file.object)?;
    let layout = Layout::choose(executor.limits[RLIMIT_STACK as usize][0], executor.fixed);
    let space = Space::new(&layout)?;
    space.apply_limits(&executor.limits, true);
    let image = elf.load(&space, &file.object, layout.program)?;
    let heap = scalvm::page_ceil(image.end).ok_or(Errno::ENOEXEC)?;
    space.set_heap(heap + layout.heap_gap);
    stack::map(&space, elf.executable_stack())?;
    let vdso = vdso::map(&space)?;
    let interpreter = match elf.interpreter(&file.object)? {
        Some(path) => {
            let file = open_exec(context, &path)?;
            let interpreter = Elf::read(&file.object)?;
            let base = interpreter.find_room(&space)?;
            Some(interpreter.load(&space, &file.object, base)?)
        }
        None => None,
    };
    let told = Told {
        args: &args,
        env,
        path,
        image: &image,
        interpreter: interpreter.as_ref(),
        vdso,
    };
    let sp = stack::fill(&space, &layout, &told)?;
    let entry = interpreter.as_ref().unwrap_or(&image).entry;
    if entry >= USER_HIGH {
        return Err(Errno::ENOEXEC);
    }
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let name = memory::vec(last)?;
    Ok(Loaded {
        space,
        entry,
        sp,
        exe: memory::arc(file.path)?,
        name,
        args: memory::arc(args.into_bytes())?,
    })
}

/// execve(2): the process goes on as another program. Blocks.
pub fn exec(frame: &mut Frame, path: &[u8], args: Strings, env: &Strings) -> Result<(), Errno> {
    let context = sched::current().fs().lock().clone();
    let thread = sched::current_thread();
    let process = thread.process();
    let executor = Executor {
        limits: *process.limits.lock(),
        fixed: process.settings.lock().personality & ADDR_NO_RANDOMIZE != 0,
    };
    let loaded = load(&context, path, args, env, &executor)?;
    loaded.space.inherit_mdwe(&process.map());
    loaded.space.allow_large(process.map().allows_large());
    let actions = memory::arc(Mutex::new(process.actions().lock().for_exec()))?;
    let files = process.own_files()?;

    // No way back from here: the other threads end first.
    for other in process.threads.lock().iter() {
        if other.tid() != thread.tid() {
            other.end.store(true, Relaxed);
            sched::disturb(other);
        }
    }
    process.thread_gone.wait_killable(|| process.threads() == 1);
    if thread.is_killed() {
        return Err(Errno::EINTR);
    }
    robust::give_up_all(&thread);
    let own = thread.tid();
    thread.become_leader();
    if own != process.pid {
        release(own);
    }

    // Whoever shared the table of files goes on with it alone.
    let old = process.replace_files(files);
    drop(old);
    process.files().lock().close_on_exec();
    process.replace_actions(actions);
    thread.alt_stack.set(AltStack::NONE);
    thread.clear_child_tid.store(0, Relaxed);
    thread.mask_to_restore.set(None);
    thread.fault.set(super::FaultContext::NONE);
    let settings = process.settings.lock().after_exec();
    *process.settings.lock() = settings;
    process.set_comm(&loaded.name);
    *process.args.lock() = loaded.args;
    *process.exe.lock() = loaded.exe;
    process.has_execed.store(true, Relaxed);

    let limits = process.map().resident();
    loaded.space.set_resident_limits(limits.soft, limits.hard);
    sched::activate(&loaded.space);
    let old = process.replace_space(loaded.space);
    if Arc::strong_count(&old) == 1 {
        shm::used_by(&old, false);
    }
    drop(old);
    shm::sweep();
    exit::return_memory(process);

    thread.segments.fs.set(0);
    thread.segments.gs.set(0);
    thread.segments.load_fs();
    thread.segments.load_gs();
    fpu::reset();
    *frame = Frame::for_program(loaded.entry, loaded.sp);
    Ok(())
}
