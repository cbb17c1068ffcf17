//! What the library has to say besides its return values: that it caught a defect of its own. It writes to no stream,
//! because a stream may be a closed pipe, and then writing ends the process. To get the messages, set a
//! listener.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// A defect in the library, which failed one call.
    Error,
}

/// Receives messages, on whatever thread they arise.
pub type Listener = Arc<dyn Fn(Level, &str) + Send + Sync>;

static LISTENER: RwLock<Option<Listener>> = RwLock::new(None);
static HEARS_PANICS: AtomicBool = AtomicBool::new(false);

/// Sets the listener of this process, or removes it. It must not panic.
pub fn set_listener(listener: Option<Listener>) {
    *LISTENER.write().unwrap_or_else(PoisonError::into_inner) = listener;
}

/// Passes a message to the listener, if there is one.
fn say(level: Level, message: &str) {
    // Not under the lock: the listener may set another one.
    let listener = LISTENER.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(listener) = listener {
        listener(level, message);
    }
}

/// Passes on that a panic was caught, unless the hook of [`hear_panics`] has done so.
pub(crate) fn note_caught_panic(message: &str) {
    if !HEARS_PANICS.load(Ordering::Relaxed) {
        say(Level::Error, &format!("a defect in omomi was caught: {message}"));
    }
}

/// Makes panics messages for the listener instead of lines on stderr. For C and the JVM, where the library has the
/// standard library of Rust to itself. In a Rust program, the hook for panics is the program's own business.
pub(crate) fn hear_panics() {
    if !HEARS_PANICS.swap(true, Ordering::Relaxed) {
        std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
            say(Level::Error, &format!("a defect in omomi: {panic}"));
        }));
    }
}
