//! The only table of error codes: number, name, owner and action of every error. Tests check the C header, the Java
//! exceptions and the list of errors in the documentation against it.

/// Who must act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The team that trains and packs.
    Ml,
    /// The team that runs the server.
    Delivery,
    /// The team that keeps machines, disks and copies.
    Infra,
}

impl Owner {
    /// Returns `ml`, `delivery` or `infra`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ml => "ml",
            Self::Delivery => "delivery",
            Self::Infra => "infra",
        }
    }

    /// Returns the owner with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ml, Self::Delivery, Self::Infra].into_iter().find(|owner| owner.word() == word)
    }
}

/// Declares [`Code`] from one table, so that number, name, owner and action always agree.
macro_rules! codes {
    ($($name:ident = $number:literal, $snake:literal, $owner:ident, $action:literal;)*) => {
        /// The stable code of an error. Numbers are never reused; 0 means success and is no code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[allow(missing_docs, reason = "the table gives each code its name and its action")]
        pub enum Code { $($name = $number,)* }

        impl Code {
            /// Every code, in ascending order of number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns its index in [`Code::ALL`].
            pub(crate) fn index(self) -> usize {
                Self::ALL.iter().position(|code| *code == self).unwrap_or_else(|| unreachable!())
            }

            /// Returns its name in snake case, which is the same in every language.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $snake,)* } }

            /// Who must act.
            #[must_use]
            pub const fn owner(self) -> Owner { match self { $(Self::$name => Owner::$owner,)* } }

            /// Returns what the owner must do.
            #[must_use]
            pub const fn action(self) -> &'static str { match self { $(Self::$name => $action,)* } }

            /// Returns name and action for C, each terminated by a null byte.
            pub(crate) const fn c_texts(self) -> (&'static [u8], &'static [u8]) {
                match self {
                    $(Self::$name => (concat!($snake, "\0").as_bytes(), concat!($action, "\0").as_bytes()),)*
                }
            }
        }
    };
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

codes! {
    NullArgument = 1, "null_argument", Delivery, "pass the argument";
    InvalidArgument = 2, "invalid_argument", Delivery, "correct the argument";
    Misaligned = 3, "misaligned", Delivery, "align the request block to 8 bytes, better 64";
    WrongSize = 4, "wrong_size", Delivery, "take the size from the layout";
    TooManyCandidates = 5, "too_many_candidates", Delivery, "split the request or make a larger layout";
    ScorerBusy = 6, "scorer_busy", Delivery, "make one scorer per thread";
    ContextMalformed = 7, "context_malformed", Delivery, "correct the context row";
    NotUtf8 = 8, "not_utf8", Delivery, "pass UTF-8";
    UnknownField = 9, "unknown_field", Delivery, "declare the field or correct its name";
    WrongFieldUse = 10, "wrong_field_use", Delivery, "use the field as it was declared";
    TailFull = 11, "tail_full", Delivery, "make the request's layout with a larger tail";
    TooManyValues = 12, "too_many_values", Delivery, "pass fewer values";
    Closed = 13, "closed", Delivery, "do not use a handle after closing it";
    AbiMismatch = 14, "abi_mismatch", Delivery, "deploy library and caller from one release";
    // Only the JVM raises this code: a process that links the library already has it.
    LibraryNotLoaded = 15, "library_not_loaded", Delivery, "deploy the library for this platform, and a folder it can be loaded from";
    Forked = 16, "forked", Delivery, "open a live model and a serving log in each process, after the fork";
    OutOfMemory = 17, "out_of_memory", Infra, "give the process more memory, or make less of it necessary";
    RecordInvalid = 18, "record_invalid", Delivery, "correct what is recorded, and where the server gets it";
    SchemaInvalid = 20, "schema_invalid", Delivery, "correct the declaration";
    FieldMissing = 21, "field_missing", Delivery, "declare the field, or ask for a model without it";
    FieldMismatch = 22, "field_mismatch", Delivery, "agree with the other team on the field";
    File = 40, "file", Infra, "check path, permissions and disk";
    AlreadyExists = 41, "already_exists", Ml, "choose the next generation's name";
    NotAWeightFile = 42, "not_a_weight_file", Infra, "take the weight file; if it is published, publish the next generation";
    WrongByteOrder = 43, "wrong_byte_order", Infra, "take the file as packed; if it is published, publish the next generation";
    TooNew = 44, "too_new", Delivery, "update the serving library first";
    TooOld = 45, "too_old", Ml, "pack the next generation with this release";
    Truncated = 46, "truncated", Infra, "copy the file again; if it is published, publish the next generation";
    TooLong = 47, "too_long", Infra, "copy the file again; if it is published, publish the next generation";
    Damaged = 48, "damaged", Infra, "copy the file again; if it is published, publish the next generation";
    Malformed = 49, "malformed", Ml, "pack the next generation with a released version";
    FileContract = 50, "file_contract", Ml, "pack the next generation with a released version";
    GoldenMismatch = 51, "golden_mismatch", Ml, "do not serve this file; pack the next generation";
    SignatureMissing = 52, "signature_missing", Ml, "sign it; if it is published, publish the next generation, signed";
    SignatureInvalid = 53, "signature_invalid", Infra, "take the file as signed; if it is published, publish the next generation";
    SignatureKeyUnknown = 54, "signature_key_unknown", Delivery, "accept the key, or have the file signed by an accepted one";
    DigestMismatch = 55, "digest_mismatch", Infra, "restore the published file under its name, or publish the next generation";
    FileTooLarge = 56, "file_too_large", Ml, "prune the model, or have the limit raised";
    MemoryBudget = 57, "memory_budget", Delivery, "raise the budget, or have the model pruned";
    GenerationBehind = 58, "generation_behind", Ml, "publish the next generation, or pin the old one";
    ContractNotExpected = 59, "contract_not_expected", Ml, "agree on the contract before publishing";
    WritableByOthers = 60, "writable_by_others", Infra, "remove the write permission";
    StoreMalformed = 61, "store_malformed", Infra, "write it again: current with omomi publish, control with omomi follow, pin, freeze, off or on";
    NameReused = 62, "name_reused", Infra, "publish the next generation";
    KilledProcess = 64, "killed_process", Ml, "find out why before it is served again";
    ChangedInPlace = 65, "changed_in_place", Infra, "replace weight files by rename only";
    GenerationMismatch = 66, "generation_mismatch", Infra,
        "publish the next generation; omomi publish gives files their names";
    StoreMissing = 67, "store_missing", Delivery, "correct the path of the store, or mount it";
    ExperimentMalformed = 69, "experiment_malformed", Ml, "write it with omomi experiment start, share or stop; omomi experiment check reads it";
    NoModel = 70, "no_model", Ml, "publish a model";
    SwitchedOff = 71, "switched_off", Delivery, "switch scoring on when the reason is gone";
    StateUnusable = 72, "state_unusable", Delivery, "give the server a state folder of its own that it may write";
    StaleTrainingData = 73, "stale_training_data", Ml, "train on newer logs and publish";
    GuardStopped = 74, "guard_stopped", Ml, "find out why; stop the arm for all servers with omomi experiment stop; mend it, and let it serve again";
    MemoryNotLocked = 76, "memory_not_locked", Infra, "raise the limit of locked memory, or do without lock_memory";
    Panic = 99, "panic", Delivery, "report the defect";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_names_are_unique() {
        let mut names = std::collections::HashSet::new();
        for pair in Code::ALL.windows(2) {
            assert!((pair[0] as i32) < pair[1] as i32, "{pair:?}");
        }
        assert!(Code::ALL.iter().all(|code| names.insert(code.name())));
    }

    #[test]
    fn nobody_is_asked_to_publish_a_generation_twice() {
        // `omomi publish` refuses a number that is taken. So a fault of a published file is mended by the next one.
        for code in Code::ALL {
            let action = code.action();
            assert!(!["publish it again", "pack it again"].iter().any(|words| action.contains(words)), "{action}");
            let is_of_a_file = (43..=55).contains(&(*code as i32)) || *code == Code::GenerationMismatch;
            let is_of_the_server = matches!(code, Code::TooNew | Code::SignatureKeyUnknown);
            assert!(!is_of_a_file || is_of_the_server || action.contains("next generation"), "{code:?}: {action}");
        }
    }
}
