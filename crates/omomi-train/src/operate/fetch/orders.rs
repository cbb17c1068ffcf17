//! The orders of a bucket: read at any time of a pass, and written to the store if they are new.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use omomi::new_file::sync_folder_of;
use omomi::store::{ControlText, MAX_TEXT_LEN, Scoring, Store};

use super::super::publish::control::replace_text;
use super::super::publish::store_writer::lock_control;
use super::FetchError;
use super::error::file_error;
use super::memory::{Memory, memory_path, read_memory};
use crate::bucket::Bucket;

/// The orders of the bucket, which are written to the store at any time of a pass.
pub(super) struct Orders<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) store: &'a Store,
    pub(super) state: Mutex<OrdersState>,
}

#[derive(Clone, Default)]
pub(super) struct OrdersState {
    pub(super) memory: Memory,
    /// The orders that this pass wrote.
    pub(super) written: Option<String>,
}

/// Whether a text of the bucket is written over that of the store: if there is one, and it is not the one that was
/// seen last. What people wrote on the server itself meanwhile stays in force.
#[must_use]
pub(super) fn is_new_order(in_bucket: Option<&str>, seen_last: Option<&str>) -> bool {
    in_bucket.is_some() && in_bucket != seen_last
}

/// What is written when the bucket has new orders, with those of the store. As long as none of the bucket were seen,
/// scoring that is off in the store stays off: people may have switched it off there.
pub(super) fn orders_to_write(in_bucket: ControlText, in_store: Option<ControlText>, is_first: bool) -> ControlText {
    let is_off = in_store.is_some_and(|text| text.scoring == Some(Scoring::Off));
    if is_first && is_off { ControlText { scoring: Some(Scoring::Off), ..in_bucket } } else { in_bucket }
}

/// The text that switches scoring off, with the other order of `orders`.
pub(super) fn off_text(orders: ControlText) -> String {
    orders.target.map_or_else(|| "off\n".to_owned(), |target| format!("{} {target}\n", Scoring::Off))
}

impl<'a> Orders<'a> {
    pub(super) fn begin(bucket: &'a Bucket, store: &'a Store) -> Result<Self, FetchError> {
        let state = OrdersState { memory: read_memory(bucket, store)?, written: None };
        Ok(Self { bucket, store, state: Mutex::new(state) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, OrdersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> OrdersState {
        self.lock().clone()
    }

    /// Changes what is remembered, on the disk too.
    pub(super) fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), FetchError> {
        let mut state = self.lock();
        change(&mut state.memory);
        self.write_memory(&state.memory)
    }

    /// Also succeeds on a full disk, where an order was written that must not be taken for a new one later.
    pub(super) fn write_memory(&self, memory: &Memory) -> Result<(), FetchError> {
        let text = serde_json::to_string_pretty(memory).unwrap_or_default() + "\n";
        Ok(replace_text(&memory_path(self.store), &text, &mut |_| ())?)
    }

    /// Reads the orders of the bucket, and writes those that are new.
    pub(super) fn look(&self) -> Result<Option<ControlText>, FetchError> {
        let text = self.read_text("control")?;
        let orders = text.as_deref().map(|text| self.parse::<ControlText>("control", text)).transpose()?;
        let mut state = self.lock();
        let is_first = state.memory.control.is_none();
        if let (Some(text), Some(orders)) = (&text, orders)
            && is_new_order(Some(text), state.memory.control.as_deref())
        {
            let in_store = self.store.read_control().ok().flatten();
            let to_write = orders_to_write(orders, in_store, is_first);
            let text_to_write = if to_write == orders { text.clone() } else { off_text(to_write) };
            self.write_order(&self.store.control_path(), &text_to_write)?;
            state.written = Some(text_to_write.trim().to_owned());
            state.memory.control = Some(text.clone());
            // What they name is checked again.
            state.memory.checked.clear();
            self.write_memory(&state.memory)?;
        } else if !memory_path(self.store).is_file() {
            self.write_memory(&state.memory)?;
        }
        Ok(orders)
    }

    /// Switches the store off if the bucket says so, and remembers nothing.
    pub(super) fn switch_off(&self) {
        let is_off = |text: ControlText| text.scoring == Some(Scoring::Off);
        let Ok(Some(text)) = self.read_text("control") else { return };
        let in_bucket = self.parse::<ControlText>("control", &text);
        let in_store = self.store.read_control().ok().flatten();
        if in_bucket.is_ok_and(is_off) && !in_store.is_some_and(is_off) {
            let _ = self.write_order(&self.store.control_path(), &text);
        }
    }

    pub(super) fn write_order(&self, path: &Path, text: &str) -> Result<(), FetchError> {
        let _lock = lock_control(self.store)?;
        replace_text(path, text, &mut |_| ())?;
        sync_folder_of(path).map_err(file_error("sync the folder of", path))
    }

    pub(super) fn address(&self, name: &str) -> String {
        self.bucket.address().join(name).to_string()
    }

    pub(super) fn read_text(&self, name: &str) -> Result<Option<String>, FetchError> {
        let Some((bytes, _)) = self.bucket.read(name, MAX_TEXT_LEN)? else { return Ok(None) };
        String::from_utf8(bytes.into()).map(Some).map_err(|_| FetchError::Malformed {
            address: self.address(name),
            expected: "a text in UTF-8".to_owned(),
            found: "other bytes".to_owned(),
        })
    }

    pub(super) fn parse<T: std::str::FromStr<Err = omomi::store::UnexpectedText>>(
        &self,
        name: &str,
        text: &str,
    ) -> Result<T, FetchError> {
        text.parse().map_err(|error: omomi::store::UnexpectedText| FetchError::Malformed {
            address: self.address(name),
            expected: error.expected.to_owned(),
            found: error.found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_the_bucket_counts_once_and_absence_is_no_order() {
        let cases = [
            (None, None, false),
            (None, Some("on follow"), false),
            (Some("off follow"), None, true),
            (Some("off follow"), Some("on follow"), true),
            (Some("off follow"), Some("off follow"), false),
        ];
        for (in_bucket, seen_last, expected) in cases {
            assert_eq!(is_new_order(in_bucket, seen_last), expected, "{in_bucket:?} after {seen_last:?}");
        }
    }

    #[test]
    fn off_on_either_side_wins_until_orders_of_the_bucket_were_seen() {
        let text = |text: &str| text.parse::<ControlText>().unwrap();
        for (in_bucket, in_store, is_first, expected) in [
            ("on follow", None, true, "on follow"),
            ("on follow", Some("off follow"), true, "off follow"),
            ("on follow", Some("off"), true, "off follow"),
            ("off follow", Some("on follow"), true, "off follow"),
            ("on follow", Some("off follow"), false, "on follow"),
            ("off follow", Some("on follow"), false, "off follow"),
        ] {
            let written = orders_to_write(text(in_bucket), in_store.map(text), is_first);
            assert_eq!(written, text(expected), "{in_bucket} over {in_store:?}, first: {is_first}");
        }
    }
}
