//! [`Settings`]: what a process has said about itself, by prctl(2) and capset(2).

/// Sets of capabilities, a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Those that count.
    pub effective: u64,
    /// Those that it may make effective again.
    pub permitted: u64,
    /// Those that outlive exec for who is not root.
    pub inheritable: u64,
}

impl Capabilities {
    /// One above the highest that Linux has.
    pub const COUNT: u32 = 41;
    /// What root has.
    pub const ALL: Capabilities = Capabilities {
        effective: (1 << Capabilities::COUNT) - 1,
        permitted: (1 << Capabilities::COUNT) - 1,
        inheritable: 0,
    };

    /// Whether who has these may have those instead.
    pub fn may_become(&self, new: &Capabilities) -> bool {
        let within = |part: u64, whole: u64| part & !whole == 0;
        within(new.permitted, self.permitted)
            && within(new.effective, new.permitted)
            && within(new.inheritable, self.inheritable | self.permitted)
    }
}

/// What a process has said about itself. Nothing depends on it but what is said here: there are no
/// permissions, so that who gives capabilities up loses nothing by that, but for those to lock memory and
/// to raise limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What it may do.
    pub capabilities: Capabilities,
    /// The signal that it gets when its parent ends, 0 for none.
    pub death_signal: u32,
    /// Whether its memory might be dumped.
    pub dumpable: bool,
    /// Whether exec must give it no privileges.
    pub no_new_privileges: bool,
    /// What personality(2) set.
    pub personality: u32,
}

impl Settings {
    /// Those of the first process.
    pub const FIRST: Settings = Settings {
        capabilities: Capabilities::ALL,
        death_signal: 0,
        dumpable: true,
        no_new_privileges: false,
        personality: 0,
    };

    /// Those of a child.
    pub fn inherited(self) -> Settings {
        Settings {
            death_signal: 0,
            ..self
        }
    }

    /// Those after exec, which gives root all capabilities again.
    pub fn after_exec(self) -> Settings {
        Settings {
            capabilities: Capabilities {
                inheritable: self.capabilities.inheritable,
                ..Capabilities::ALL
            },
            dumpable: true,
            ..self
        }
    }
}
