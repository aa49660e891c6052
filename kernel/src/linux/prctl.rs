//! prctl(2) and arch_prctl(2), and capabilities: what a process says about itself.

use linux_raw_sys::general as nr;
use linux_raw_sys::prctl::{
    PR_CAPBSET_READ, PR_GET_DUMPABLE, PR_GET_MDWE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS,
    PR_GET_PDEATHSIG, PR_GET_THP_DISABLE, PR_MDWE_NO_INHERIT, PR_MDWE_REFUSE_EXEC_GAIN,
    PR_SET_DUMPABLE, PR_SET_MDWE, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
    PR_SET_THP_DISABLE, PR_SET_VMA,
};

use super::{Errno, Result, memory};
use crate::arch::layout::USER_HIGH;
use crate::mm::user;
use crate::task::{self, Capabilities, Pid};

/// The highest signal.
const MAX_SIGNAL: usize = 64;

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_prctl => prctl(a[0] as u32, a[1], [a[2], a[3], a[4]]),
        nr::__NR_arch_prctl => arch_prctl(a[0] as u32, a[1]),
        nr::__NR_capget => capget(a[0], a[1]),
        nr::__NR_capset => capset(a[0], a[1]),
        _ => return None,
    })
}

fn prctl(operation: u32, arg: usize, rest: [usize; 3]) -> Result {
    let me = task::current();
    let settings = &me.settings;
    match operation {
        PR_SET_NAME => match user::copy_in_str(arg, 16) {
            Err(Errno::ENAMETOOLONG) => me.set_comm(&user::read::<[u8; 15]>(arg)?),
            name => me.set_comm(&name?),
        },
        PR_GET_NAME => user::write(arg, &me.comm())?,
        PR_SET_PDEATHSIG if arg > MAX_SIGNAL => return Err(Errno::EINVAL),
        PR_SET_PDEATHSIG => settings.lock().death_signal = arg as u32,
        PR_GET_PDEATHSIG => {
            let signal = settings.lock().death_signal;
            user::write_u32(arg, signal)?;
        }
        PR_SET_DUMPABLE if arg > 1 => return Err(Errno::EINVAL),
        PR_SET_DUMPABLE => settings.lock().dumpable = arg != 0,
        PR_GET_DUMPABLE => return Ok(settings.lock().dumpable.into()),
        PR_SET_NO_NEW_PRIVS if arg != 1 || rest != [0; 3] => return Err(Errno::EINVAL),
        PR_SET_NO_NEW_PRIVS => settings.lock().no_new_privileges = true,
        PR_GET_NO_NEW_PRIVS if arg != 0 || rest != [0; 3] => return Err(Errno::EINVAL),
        PR_GET_NO_NEW_PRIVS => return Ok(settings.lock().no_new_privileges.into()),
        PR_SET_MDWE if rest != [0; 3] => return Err(Errno::EINVAL),
        PR_SET_MDWE => return refuse_exec_gain(arg),
        PR_SET_VMA => return memory::name::set_vma(arg, rest),
        PR_GET_MDWE if arg != 0 || rest != [0; 3] => return Err(Errno::EINVAL),
        PR_GET_MDWE => return Ok(me.map().mdwe() as usize),
        PR_SET_THP_DISABLE if rest != [0; 3] => return Err(Errno::EINVAL),
        PR_SET_THP_DISABLE => me.map().allow_large(arg == 0),
        PR_GET_THP_DISABLE if arg != 0 || rest != [0; 3] => return Err(Errno::EINVAL),
        PR_GET_THP_DISABLE => return Ok(usize::from(!me.map().allows_large())),
        // Nothing takes any out of the bounding set.
        PR_CAPBSET_READ if arg < Capabilities::COUNT as usize => return Ok(1),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// PR_SET_MDWE: what is refused once stays so.
fn refuse_exec_gain(bits: usize) -> Result {
    const KNOWN: u32 = PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT;
    let bits = u32::try_from(bits).map_err(|_| Errno::EINVAL)?;
    if bits & !KNOWN != 0 || bits == PR_MDWE_NO_INHERIT {
        return Err(Errno::EINVAL);
    }
    let space = task::current().map();
    let old = space.mdwe();
    if old != 0 && old != bits {
        return Err(Errno::EPERM);
    }
    space.set_mdwe(bits);
    Ok(0)
}

fn arch_prctl(operation: u32, arg: usize) -> Result {
    const SET_GS: u32 = 0x1001;
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    let thread = task::current_thread();
    let segments = &thread.segments;
    match operation {
        SET_FS | SET_GS if arg >= USER_HIGH => Err(Errno::EPERM),
        SET_FS => {
            segments.fs.set(arg);
            segments.load_fs();
            Ok(0)
        }
        SET_GS => {
            segments.gs.set(arg);
            segments.load_gs();
            Ok(0)
        }
        GET_FS => user::write_u64(arg, segments.fs.get() as u64).map(|()| 0),
        GET_GS => user::write_u64(arg, segments.gs.get() as u64).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// Versions of the capabilities' layout: with one word for each set, and, twice, with two.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// Reads the header of both calls: how many words a set has, and whose sets are meant. An unknown
/// version is EINVAL, and the newest one is written in its place.
fn header(at: usize) -> core::result::Result<(usize, Pid), Errno> {
    let [version, pid] = user::read::<[u32; 2]>(at)?;
    match version {
        VERSION_1 => Ok((1, pid as Pid)),
        VERSION_2 | VERSION_3 => Ok((2, pid as Pid)),
        _ => {
            user::write_u32(at, VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

fn capget(at: usize, data: usize) -> Result {
    let (words, pid) = match header(at) {
        // This is how the newest version is asked for.
        Err(Errno::EINVAL) if data == 0 => return Ok(0),
        found => found?,
    };
    let process = match pid {
        pid if pid < 0 => return Err(Errno::EINVAL),
        0 => task::find(task::current().pid),
        pid => task::find(pid),
    };
    let sets = process.ok_or(Errno::ESRCH)?.settings.lock().capabilities;
    if data == 0 {
        return Ok(0);
    }
    for word in 0..words {
        let half = |set: u64| (set >> (32 * word)) as u32;
        let halves = [sets.effective, sets.permitted, sets.inheritable].map(half);
        user::write(data + word * size_of_val(&halves), &halves)?;
    }
    Ok(0)
}

fn capset(at: usize, data: usize) -> Result {
    let (words, pid) = header(at)?;
    let me = task::current();
    if pid != 0 && pid != me.pid {
        return Err(Errno::EPERM);
    }
    let mut sets = [0u64; 3];
    for word in 0..words {
        let halves = user::read::<[u32; 3]>(data + word * size_of::<[u32; 3]>())?;
        for (set, half) in sets.iter_mut().zip(halves) {
            *set |= u64::from(half) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets.map(|set| set & Capabilities::ALL.permitted);
    let new = Capabilities {
        effective,
        permitted,
        inheritable,
    };
    let mut settings = me.settings.lock();
    if !settings.capabilities.may_become(&new) {
        return Err(Errno::EPERM);
    }
    settings.capabilities = new;
    drop(settings);
    me.apply_limits();
    Ok(0)
}
