//! Reads several states together, feature by feature.

use crate::learn::state::{StateBatch, StateError, StateReader, StateRow};

/// Position in one state: a batch and a row in it.
struct Cursor {
    reader: StateReader,
    batch: StateBatch,
    index: usize,
}

impl Cursor {
    /// Goes to the next row. Returns false if there is none.
    fn advance(&mut self) -> Result<bool, StateError> {
        self.index += 1;
        while self.index == self.batch.row_count() {
            match self.reader.next_batch()? {
                Some(batch) => (self.batch, self.index) = (batch, 0),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Merges states whose rows are sorted by key, with one batch of each in memory: the bias first, then the features by
/// ascending key.
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// Current keys of the open cursors, in the order of `open`.
    keys: Vec<u64>,
    /// Indices of the cursors that have rows left, ascending.
    open: Vec<usize>,
    /// Indices of the cursors that are at the current feature, ascending.
    at: Vec<usize>,
    at_bias: bool,
}

impl Merge {
    /// Starts before the bias of all `readers`.
    pub(super) fn new(readers: Vec<StateReader>) -> Result<Self, StateError> {
        let mut cursors = Vec::with_capacity(readers.len());
        for mut reader in readers {
            // The reader has checked that a state has at least the row of its bias.
            let batch = reader.next_batch()?.expect("a state has a first batch");
            cursors.push(Cursor { reader, batch, index: 0 });
        }
        let (keys, open) = (Vec::with_capacity(cursors.len()), Vec::with_capacity(cursors.len()));
        Ok(Self { cursors, keys, open, at: Vec::new(), at_bias: false })
    }

    /// Goes to the next feature; the first is the bias. Returns false after the last.
    pub(super) fn next(&mut self) -> Result<bool, StateError> {
        if self.at.is_empty() {
            self.at.extend(0..self.cursors.len());
            self.at_bias = true;
            return Ok(!self.at.is_empty());
        }
        if self.at_bias {
            self.at_bias = false;
            for (index, cursor) in self.cursors.iter_mut().enumerate() {
                if cursor.advance()? {
                    self.keys.push(cursor.batch.key(cursor.index));
                    self.open.push(index);
                }
            }
        } else {
            for &index in &self.at {
                let place = self.open.iter().position(|&open| open == index).expect("a cursor at a feature is open");
                let cursor = &mut self.cursors[index];
                if cursor.advance()? {
                    self.keys[place] = cursor.batch.key(cursor.index);
                } else {
                    self.keys.remove(place);
                    self.open.remove(place);
                }
            }
        }
        let Some(&min) = self.keys.iter().min() else {
            return Ok(false);
        };
        self.at.clear();
        self.at.extend(self.open.iter().zip(&self.keys).filter(|&(_, &key)| key == min).map(|(&index, _)| index));
        Ok(true)
    }

    /// Returns the rows of the current feature, each with the index of its state, in the order of the states.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, StateRow<'_>)> {
        self.at.iter().map(|&index| {
            let cursor = &self.cursors[index];
            (index, cursor.batch.row(cursor.index))
        })
    }
}
