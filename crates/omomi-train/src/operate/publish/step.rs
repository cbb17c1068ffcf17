//! The steps of a change to a store.

/// A step, announced before it is taken. Use it to show progress, or to end the process there in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Create the layout of a new store, and lock the store.
    Lock,
    /// Remove what a dead process left behind.
    CleanUp,
    /// Check the header, length and generation of the file.
    LookAt,
    /// Copy a piece of the file. Announced before each piece, and once more at the end of the file.
    Copy,
    /// Sync the copy to the disk.
    Sync,
    /// Read the copy back and compare it.
    ReadBack,
    /// Verify the copy, or the file to serve again, in a fresh process.
    Verify,
    /// Check the copy against the limits.
    CheckLimits,
    /// Write the new text of `current` or `control` beside the old one.
    WriteText,
    /// Give the copy its name.
    TakeName,
    /// Remove the hidden name of the copy.
    DropSibling,
    /// Sync the names in `generations` to the disk.
    SyncGenerations,
    /// Replace the old text with the new one; from now on, readers see the new state.
    ReplaceText,
    /// Sync the names in the store to the disk.
    SyncStore,
    /// All steps are done.
    Done,
}

impl Step {
    /// All steps, in the order of a publication.
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

    /// The steps of a change of `control`, in order. Only pins have [`Step::Verify`].
    pub const OF_CONTROL: [Self; 6] =
        [Self::Verify, Self::CleanUp, Self::WriteText, Self::ReplaceText, Self::SyncStore, Self::Done];

    /// The name of the step, in snake case.
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

    /// Returns the step with this name, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}
