//! The arms that have answered in this process, by number. Numbers are never used again, so a log record that was made
//! a moment ago still names its arm. Request threads read it without a lock.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::watch::Watch;
use crate::live::Generations;
use crate::score::{Model, ModelIdentity};

/// Most arms of a process. Each store of an arm that is opened again takes a number.
pub(super) const CAPACITY: usize = 4_096;

/// An arm, as log records name it.
#[derive(Debug)]
pub(crate) struct RegisteredArm {
    pub(crate) experiment: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) generations: Generations,
}

/// The arms of a process.
#[derive(Debug)]
pub(crate) struct Registry {
    arms: Box<[OnceLock<RegisteredArm>]>,
    /// The number of registered arms. Only registering locks it.
    count: Mutex<usize>,
    /// The number of the control arm plus 1.
    control: AtomicU32,
    /// Predictions that wait for their clicks; made when a guard first needs it.
    watch: OnceLock<Watch>,
    is_watching: AtomicBool,
}

impl Registry {
    pub(super) fn new() -> Self {
        let arms = std::iter::repeat_with(OnceLock::new).take(CAPACITY).collect();
        Self {
            arms,
            count: Mutex::default(),
            control: AtomicU32::new(0),
            watch: OnceLock::new(),
            is_watching: AtomicBool::new(false),
        }
    }

    /// Registers an arm, and returns its number; nothing if there is no number left.
    pub(super) fn add(&self, arm: RegisteredArm) -> Option<u16> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let number = u16::try_from(*count).ok()?;
        self.arms.get(*count)?.set(arm).ok()?;
        *count += 1;
        Some(number)
    }

    /// Whether no number is left.
    pub(super) fn is_full(&self) -> bool {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) == CAPACITY
    }

    pub(super) fn set_control(&self, number: Option<u16>) {
        self.control.store(number.map_or(0, |number| u32::from(number) + 1), Ordering::Release);
    }

    /// Begins or ends watching predictions. Only the background thread calls this.
    pub(super) fn watch_if(&self, is_wanted: bool) -> Option<&Watch> {
        let watch = if is_wanted { Some(self.watch.get_or_init(Watch::new)) } else { None };
        self.is_watching.store(is_wanted, Ordering::Release);
        watch
    }

    /// Returns what notes predictions and their events, if a guard needs it. Never waits.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        if self.is_watching.load(Ordering::Acquire) { self.watch.get() } else { None }
    }

    /// Returns the control arm, which would answer what no arm has answered.
    pub(crate) fn control(&self) -> Option<&RegisteredArm> {
        let number = self.control.load(Ordering::Acquire).checked_sub(1)?;
        self.get(u16::try_from(number).ok()?)
    }

    /// Returns the arm with a number. Never waits.
    pub(crate) fn get(&self, number: u16) -> Option<&RegisteredArm> {
        self.arms.get(usize::from(number))?.get()
    }

    /// Returns the fallback file of the arms, which they share.
    pub(crate) fn fallback(&self) -> Option<&(Arc<Model>, Arc<ModelIdentity>)> {
        self.control()?.generations.fallback()
    }
}
