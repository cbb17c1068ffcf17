//! How a weight file is brought into memory, and the choice where the caller leaves it open.

use super::available_memory::available_bytes;

/// How a weight file is brought into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadMode {
    /// A shared mapping. Every page is read before it is used. All processes of the machine share one copy. Truncating
    /// or overwriting the file in place harms every process that maps it: replace files by rename only. It cannot
    /// promise that the bytes stay those that were verified: anyone who mapped the file for writing, even before it
    /// became read-only, can change them, and the times of the file may not show it.
    #[default]
    Map,
    /// A private, read-only copy, in huge pages if the system provides them. Later changes of the file do not affect
    /// it, and it is faster because it has fewer TLB misses. Each process needs memory for its own copy.
    Copy,
    /// [`LoadMode::Copy`] while a private copy fits the memory, and otherwise [`LoadMode::Map`]. It fits if it takes at
    /// most a quarter of the memory that the machine or the cgroup has available, or what a memory budget leaves.
    Auto,
}

/// A mode, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenMode {
    /// Never [`LoadMode::Auto`].
    pub(crate) mode: LoadMode,
    pub(crate) reason: String,
}

/// The memory for models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes of the models that are in memory already.
    pub(crate) held_bytes: u64,
    /// What all models together may take.
    pub(crate) budget_bytes: Option<u64>,
    /// What the machine or the cgroup has available; nothing if the system does not tell.
    pub(crate) available_bytes: Option<u64>,
}

impl LoadMode {
    /// Returns `map`, `copy` or `auto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Copy => "copy",
            Self::Auto => "auto",
        }
    }

    /// Chooses the mode of a file for which there is as much memory as the machine has available.
    pub(crate) fn chosen(self, len_bytes: u64) -> ChosenMode {
        self.chosen_within(len_bytes, &Room { held_bytes: 0, budget_bytes: None, available_bytes: None }.measured(self))
    }

    /// Chooses the mode of a file that needs `needed_bytes` as a private copy.
    pub(crate) fn chosen_within(self, needed_bytes: u64, room: &Room) -> ChosenMode {
        let chosen = |mode, reason| ChosenMode { mode, reason };
        let held = room.held_bytes;
        match (self, room.budget_bytes, room.available_bytes) {
            (Self::Map | Self::Copy, _, _) => chosen(self, "the options ask for it".to_owned()),
            (Self::Auto, Some(budget), _) => {
                let text = format!("a private copy needs {needed_bytes} bytes beside {held} of other models");
                if held.saturating_add(needed_bytes) <= budget {
                    chosen(Self::Copy, format!("{text}, at most the memory budget of {budget} bytes"))
                } else {
                    chosen(Self::Map, format!("{text}, more than the memory budget of {budget} bytes"))
                }
            }
            (Self::Auto, None, Some(available)) => {
                // What is in memory already is not available any more.
                let quarter = available.saturating_add(held) / 4;
                let text = format!("a private copy needs {needed_bytes} bytes beside {held} of other models");
                let limit = format!("{quarter} bytes, a quarter of the available memory");
                if held.saturating_add(needed_bytes) <= quarter {
                    chosen(Self::Copy, format!("{text}, at most {limit}"))
                } else {
                    chosen(Self::Map, format!("{text}, more than {limit}"))
                }
            }
            (Self::Auto, None, None) => {
                chosen(Self::Copy, "the system does not say what memory is available".to_owned())
            }
        }
    }
}

impl Room {
    /// Adds what the machine has available, if that matters.
    pub(crate) fn measured(self, mode: LoadMode) -> Self {
        let matters = mode == LoadMode::Auto && self.budget_bytes.is_none();
        Self { available_bytes: matters.then(available_bytes).flatten(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_copy_is_chosen_as_long_as_the_old_and_the_new_file_fit() {
        let room = |held_bytes, budget_bytes, available_bytes| Room { held_bytes, budget_bytes, available_bytes };
        for (needed, room, expected) in [
            (100, room(0, None, Some(400)), LoadMode::Copy),
            (101, room(0, None, Some(400)), LoadMode::Map),
            (100, room(100, None, Some(700)), LoadMode::Copy),
            (100, room(100, None, Some(699)), LoadMode::Map),
            (100, room(0, Some(100), Some(0)), LoadMode::Copy),
            (100, room(1, Some(100), Some(u64::MAX)), LoadMode::Map),
            (u64::MAX, room(u64::MAX, Some(u64::MAX - 1), None), LoadMode::Map),
            (u64::MAX, room(0, None, None), LoadMode::Copy),
        ] {
            let chosen = LoadMode::Auto.chosen_within(needed, &room);
            assert_eq!(chosen.mode, expected, "{needed} bytes, {room:?}: {}", chosen.reason);
            for mode in [LoadMode::Map, LoadMode::Copy] {
                assert_eq!(mode.chosen_within(needed, &room).mode, mode);
            }
        }
    }
}
