//! Several states read at once, feature by feature.

use crate::learn::state::{StateBatch, StateError, StateReader, StateRow};

/// Where one state is: a batch of it, and a row of that.
struct Cursor {
    reader: StateReader,
    batch: StateBatch,
    index: usize,
}

impl Cursor {
    /// At the next row; false where there is none.
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

/// Reads states whose rows are sorted by key as if they were one, with a batch of each in memory: the bias first, then the
/// features by rising key.
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// Keys at which the cursors are that have rows left, and which cursors these are, in their order.
    keys: Vec<u64>,
    open: Vec<usize>,
    /// Cursors that are at the feature at hand, in their order.
    at: Vec<usize>,
    at_bias: bool,
}

impl Merge {
    /// Before the bias of all `readers`.
    pub(super) fn new(readers: Vec<StateReader>) -> Result<Self, StateError> {
        let mut cursors = Vec::with_capacity(readers.len());
        for mut reader in readers {
            // A state has at least the row of its bias: the reader says so.
            let batch = reader.next_batch()?.expect("a state has a first batch");
            cursors.push(Cursor { reader, batch, index: 0 });
        }
        let (keys, open) = (Vec::with_capacity(cursors.len()), Vec::with_capacity(cursors.len()));
        Ok(Self { cursors, keys, open, at: Vec::new(), at_bias: false })
    }

    /// Goes to the next feature, at first to the bias; false after the last.
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

    /// The row of each state that has the feature at hand, with the number of the state, in the order of the states.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, StateRow<'_>)> {
        self.at.iter().map(|&index| {
            let cursor = &self.cursors[index];
            (index, cursor.batch.row(cursor.index))
        })
    }
}
