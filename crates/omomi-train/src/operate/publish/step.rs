//! The steps of changing a store.

/// A step, announced before it is taken: for those who show progress, and for tests that end the process there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The layout of a new store is made, and the store locked.
    Lock,
    /// What a process that died left behind is removed.
    CleanUp,
    /// Header, length and generation of the file are looked at.
    LookAt,
    /// A piece of the file is copied; announced before each piece, and once more at the end of the file.
    Copy,
    /// The copy is made durable.
    Sync,
    /// The copy is read back and compared.
    ReadBack,
    /// The copy, or the file that is to be served again, is verified in a fresh process.
    Verify,
    /// The copy is held against the limits.
    CheckLimits,
    /// The text that says what to serve, `current` or `control`, is written beside the one that is there.
    WriteText,
    /// The copy gets its name.
    TakeName,
    /// The copy loses its hidden name.
    DropSibling,
    /// The names in `generations` are made durable.
    SyncGenerations,
    /// The text takes the place of the one that is there: from here on readers see the new state.
    ReplaceText,
    /// The names in the store are made durable.
    SyncStore,
    /// Nothing is left to do.
    Done,
}

impl Step {
    /// Every step, in the order of a publication.
    pub const ALL: [Self; 15] = [
        Self::Lock,
        Self::CleanUp,
        Self::LookAt,
        Self::Copy,
        Self::Sync,
        Self::ReadBack,
        Self::Verify,
        Self::CheckLimits,
        Self::WriteText,
        Self::TakeName,
        Self::DropSibling,
        Self::SyncGenerations,
        Self::ReplaceText,
        Self::SyncStore,
        Self::Done,
    ];

    /// The steps of a change of `control`, in their order. [`Step::Verify`] belongs to pins only.
    pub const OF_CONTROL: [Self; 6] =
        [Self::Verify, Self::CleanUp, Self::WriteText, Self::ReplaceText, Self::SyncStore, Self::Done];

    /// Its name in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::CleanUp => "clean_up",
            Self::LookAt => "look_at",
            Self::Copy => "copy",
            Self::Sync => "sync",
            Self::ReadBack => "read_back",
            Self::Verify => "verify",
            Self::CheckLimits => "check_limits",
            Self::WriteText => "write_text",
            Self::TakeName => "take_name",
            Self::DropSibling => "drop_sibling",
            Self::SyncGenerations => "sync_generations",
            Self::ReplaceText => "replace_text",
            Self::SyncStore => "sync_store",
            Self::Done => "done",
        }
    }

    /// The step with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}
