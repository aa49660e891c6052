//! One step of a program.

use std::fmt;
use std::str::FromStr;

/// The operations of one kind of programs, by their names.
pub trait Verb: Copy + PartialEq + 'static {
    /// How it is written.
    fn name(self) -> &'static str;
    /// The one that is written so.
    fn from_name(name: &str) -> Option<Self>;
}

/// Declares a kind's operations: their names, and how often each should come.
macro_rules! verbs {
    ($(#[$kind:meta])* $Op:ident: $($(#[$doc:meta])* $op:ident $name:literal $weight:literal,)*) => {
        $(#[$kind])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $Op {
            $($(#[$doc])* $op,)*
        }

        impl $Op {
            /// All of them, with how often each should come.
            pub const ALL: &[($Op, u32)] = &[$(($Op::$op, $weight),)*];
        }

        impl $crate::program::Verb for $Op {
            fn name(self) -> &'static str {
                match self { $($Op::$op => $name,)* }
            }

            fn from_name(name: &str) -> Option<$Op> {
                match name { $($name => Some($Op::$op),)* _ => None }
            }
        }
    };
}
pub(crate) use verbs;

impl Op {
    /// Whether it means something only where memory can be short.
    pub fn is_paging(self) -> bool {
        matches!(
            self,
            Op::WriteBack
                | Op::Squeeze
                | Op::Balance
                | Op::SwapOn
                | Op::SwapOff
                | Op::Delay
                | Op::FailReads
                | Op::FailWrites
                | Op::StartSync
        )
    }
}

verbs! {
    /// What a step does. Its arguments are told in `run`, where they are carried out.
    Op:
    /// Makes an address space.
    NewMap "new-map" 2,
    /// Drops one.
    DropMap "drop-map" 3,
    /// Forks one.
    Fork "fork" 8,
    /// Unmaps all.
    Clear "clear" 1,
    /// Maps anonymous memory.
    MapAnonymous "map-anonymous" 12,
    /// Maps an object.
    MapObject "map-object" 14,
    /// Maps an enormous anonymous range.
    MapHuge "map-huge" 1,
    /// Unmaps a range.
    Unmap "unmap" 8,
    /// Changes rights.
    Protect "protect" 10,
    /// Changes inheritance.
    Inherit "inherit" 5,
    /// Has accesses told to a watcher.
    Watch "watch" 5,
    /// Has them told no more.
    Unwatch "unwatch" 2,
    /// Write-protects what is watched, or no more.
    WriteProtect "write-protect" 4,
    /// Places a page where one is missing.
    Place "place" 4,
    /// Shows a page that an object has.
    Show "show" 2,
    /// Moves a page to where one is missing.
    MovePage "move-page" 4,
    /// Says that a page is lost.
    Poison "poison" 3,
    /// Makes guards of a range, where nothing may be.
    Guard "guard" 4,
    /// Takes them away.
    Unguard "unguard" 3,
    /// Notes a number with a range.
    SetTag "set-tag" 2,
    /// Gives advice.
    Advise "advise" 3,
    /// Says whether large leaves are wanted for a range.
    AdviseLarge "advise-large" 4,
    /// Joins pages, so that a large leaf maps them.
    Join "join" 4,
    /// Discards a range.
    Discard "discard" 6,
    /// Gives a range up, to be discarded when memory is short.
    Free "free" 6,
    /// Drops what a range's objects hold.
    Punch "punch" 3,
    /// Makes a range the next to leave.
    Cool "cool" 3,
    /// Has a range leave.
    PageOut "page-out" 4,
    /// Says whether a range is written where memory is dumped.
    Dump "dump" 2,
    /// Looks at the pages of a range without touching them.
    Inspect "inspect" 4,
    /// Moves or resizes a mapping.
    Remap "remap" 8,
    /// Extracts entries from a space, to be shared, copied or moved.
    Extract "extract" 6,
    /// Puts them into a space, or drops them.
    Put "put" 8,
    /// Borrows a page.
    Lend "lend" 5,
    /// Gives it back, or borrows it once more.
    Repay "repay" 4,
    /// Copies from space to space.
    CopyAcross "copy-across" 3,
    /// Reads or writes in spite of rights.
    Force "force" 4,
    /// Wires a range.
    Wire "wire" 3,
    /// Unwires a range.
    Unwire "unwire" 3,
    /// Holds a range for a device, and lets it go.
    Describe "describe" 4,
    /// Wires a range of which pages come when they are touched.
    WireOnFault "wire-on-fault" 2,
    /// Wires or unwires all that is mapped, or all that will be.
    WireAll "wire-all" 2,
    /// Limits how large an address space may become, or what may become executable.
    Limit "limit" 2,
    /// Seals a range.
    Seal "seal" 1,
    /// Moves what a range holds away, and leaves the range mapped.
    RemapKeeping "remap-keeping" 4,
    /// Maps memory that grows downwards.
    MapGrowing "map-growing" 4,
    /// Lengthens such memory.
    Grow "grow" 4,
    /// Faults a range in.
    Populate "populate" 3,
    /// Trims an address space, or those above their soft limits.
    Trim "trim" 5,
    /// Syncs a range of an address space.
    Sync "sync" 4,
    /// Starts to write a range of an address space.
    StartSync "start-sync" 2,
    /// Drops what is cached of the files that a range maps.
    Invalidate "invalidate" 2,
    /// Makes an anonymous object.
    NewAnonymous "new-anonymous" 4,
    /// Opens a file.
    NewFile "new-file" 5,
    /// Opens the device.
    NewDevice "new-device" 1,
    /// Lets go of an object.
    DropObject "drop-object" 4,
    /// Grows or truncates an object.
    SetSize "set-size" 6,
    /// Punches a hole into an object.
    PunchObject "punch-object" 4,
    /// Has an object keep what it has.
    KeepContents "keep-contents" 1,
    /// Names an object.
    SetCookie "set-cookie" 1,
    /// Reads from an object.
    ReadAt "read-at" 5,
    /// Writes to an object.
    WriteAt "write-at" 6,
    /// Syncs an object.
    SyncObject "sync-object" 3,
    /// Holds a page of an object.
    Hold "hold" 4,
    /// Reads and writes a page that is held.
    Poke "poke" 4,
    /// Lets go of a page that is held.
    Release "release" 4,
    /// Loads, as a program on one of the processors.
    Load "load" 40,
    /// Stores likewise.
    Store "store" 50,
    /// Fetches an instruction likewise.
    Fetch "fetch" 5,
    /// Faults without an access.
    Touch "touch" 6,
    /// Reads several pages through the direct map.
    Peek "peek" 6,
    /// Writes several pages through the direct map.
    Write "write" 6,
    /// Lets a processor run another space, or none.
    Switch "switch" 8,
    /// Completes some I/O.
    Pump "pump" 4,
    /// Makes one of the next I/O requests fail.
    FailIo "fail-io" 0,
    /// Makes one of the next allocations fail.
    FailAllocation "fail-allocation" 0,
    /// Writes a little into each page of a run.
    Fill "fill" 6,
    /// Reads each page of a run.
    Sweep "sweep" 6,
    /// Syncs all files.
    SyncAll "sync-all" 2,
    /// Begins to write back whatever is dirty.
    WriteBack "write-back" 2,
    /// Changes how many pages there is room for.
    Squeeze "squeeze" 4,
    /// Does what the page daemon does.
    Balance "balance" 4,
    /// Adds a swap device.
    SwapOn "swap-on" 4,
    /// Takes one away.
    SwapOff "swap-off" 2,
    /// Delays requests to the disk, or no more.
    Delay "delay" 2,
    /// Makes reads from the disk fail now and then.
    FailReads "fail-reads" 0,
    /// Makes writes to it fail now and then, and tears them.
    FailWrites "fail-writes" 0,
}

/// A step: an operation and six numbers, which mean something for every value, whatever was done before; so
/// that a program stays one when steps are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step<O = Op> {
    /// What is done.
    pub op: O,
    /// To what, and how.
    pub args: [u32; 6],
}

impl<O: Verb> fmt::Display for Step<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        let used = self
            .args
            .iter()
            .rposition(|&arg| arg != 0)
            .map_or(0, |last| last + 1);
        self.args[..used]
            .iter()
            .try_for_each(|arg| write!(f, " {arg}"))
    }
}

impl<O: Verb> FromStr for Step<O> {
    type Err = String;

    fn from_str(line: &str) -> Result<Step<O>, String> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let op = O::from_name(name).ok_or_else(|| format!("no such operation: {name:?}"))?;
        let mut args = [0; 6];
        for arg in &mut args {
            let Some(word) = words.next() else { break };
            *arg = word
                .parse()
                .map_err(|_| format!("not a number: {word:?}"))?;
        }
        match words.next() {
            None => Ok(Step { op, args }),
            Some(_) => Err(format!("more than six arguments: {line:?}")),
        }
    }
}
