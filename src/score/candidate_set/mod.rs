//! Prepared candidates. Creatives live for hours, so the server passes their rows once, and requests then name them by
//! index.
//!
//! A set stores the rows. For each model of an open scorer it also stores the results for that model: the sum of each
//! candidate's own weights, and the feature keys that crosses with the context need. A model that is loaded later is
//! prepared when its first scorer is opened, off the request path. When the last scorer of a model is closed, the set
//! releases the memory for that model.

mod prepared;
mod records;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use prepared::Prepared;
pub(super) use prepared::{Contents, Lists, Record};
pub(super) use records::Records;

use super::block::{Block, RowView};
use super::plan::PlannedField;
use super::{Model, Request};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::request::{Candidates, MAX_VALUES_PER_FIELD, RequestLayout};
use prepared::StoredRow;

/// Largest number of candidates in a set.
pub const MAX_PREPARED_CANDIDATES: usize = 1 << 20;

/// Candidates that requests name by index. Any thread may add, replace and remove rows at any time while other threads
/// score. A request scores each candidate as it was before or after a change, never as a mixture of both, and no
/// scoring thread waits.
///
/// ```
/// use omomi::{Capacity, CandidateSet, RequestLayout, Request, Schema, SchemaField, contract::Side};
///
/// let schema = Schema::new(vec![
///     SchemaField::id("media_id", Side::Context),
///     SchemaField::id("creative_id", Side::Candidate),
/// ])?;
/// let creative_id = schema.slot("creative_id").ok_or("declared above")?;
/// // A request with inline rows carries the candidates into the set.
/// let layout = RequestLayout::new(&schema, Capacity { candidates: 1, tail_len_bytes: 0 })?;
/// let set = CandidateSet::new(&layout, 10_000, 0)?;
/// let mut request = Request::new(&layout);
/// request.candidate(0)?.set_id(creative_id, 42)?;
/// let index = set.add(&mut request, 0)?;
/// set.remove(index)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CandidateSet {
    layout: RequestLayout,
    fields: Vec<PlannedField>,
    capacity: usize,
    values_per_field: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// One entry per index, up to the highest index ever used.
    rows: Vec<Option<StoredRow>>,
    /// Indices within `rows` that have no candidate.
    free: BTreeSet<usize>,
    candidate_count: usize,
    prepared: Vec<Weak<Prepared>>,
}

impl CandidateSet {
    /// Creates an empty set for up to `capacity` candidates, whose rows will come from requests of `layout`. A `many`
    /// field of a row may have up to `values_per_field` values. Memory is taken as indices are used, not for the whole
    /// capacity in advance.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] if the layout's candidates are not rows, if `capacity` is 0 or above
    /// [`MAX_PREPARED_CANDIDATES`], or if `values_per_field` is above [`MAX_VALUES_PER_FIELD`].
    pub fn new(layout: &RequestLayout, capacity: usize, values_per_field: usize) -> Result<Self, Error> {
        let invalid = |argument, problem| Err(Error::InvalidArgument { argument, problem });
        if layout.candidates() != Candidates::Inline {
            let problem = "its candidates are indices, but a candidate set needs requests whose candidates are rows";
            return invalid("layout", problem.to_owned());
        }
        if capacity == 0 || capacity > MAX_PREPARED_CANDIDATES {
            return invalid(
                "capacity",
                format!("expected 1 to {MAX_PREPARED_CANDIDATES} candidates, found {capacity}"),
            );
        }
        if values_per_field > MAX_VALUES_PER_FIELD {
            let problem = format!("expected at most {MAX_VALUES_PER_FIELD}, found {values_per_field}");
            return invalid("values per field", problem);
        }
        let declared = layout.schema().fields(Side::Candidate).iter().enumerate();
        Ok(Self {
            layout: layout.clone(),
            fields: declared.map(|(slot, field)| prepared::declared(slot, field)).collect(),
            capacity,
            values_per_field,
            state: Mutex::new(State {
                rows: Vec::new(),
                free: BTreeSet::new(),
                candidate_count: 0,
                prepared: Vec::new(),
            }),
        })
    }

    /// Returns the layout of the requests that carry rows into the set.
    #[must_use]
    pub const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Returns the largest number of candidates that the set can have. All indices are below it.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of candidates in the set.
    #[must_use]
    pub fn candidate_count(&self) -> usize {
        self.lock().candidate_count
    }

    /// Adds the candidate in row `candidate` of `request`, and returns its index: the lowest free one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::CandidateSetFull`], or [`Error::TooManyCandidates`] if the request has no such row. Returns
    /// [`Error::InvalidArgument`] if the request has another layout, or if the row was not filled, cannot be read or
    /// has too many values; then the error names the field. After an error, the set is unchanged.
    pub fn add(&self, request: &mut Request, candidate: usize) -> Result<u32, Error> {
        request.check_layout(&self.layout)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        unsafe { self.add_block(request.block_address(), candidate) }
    }

    /// Puts the candidate in row `candidate` of `request` at `index`, replacing any candidate that is there.
    ///
    /// # Errors
    ///
    /// Fails like [`CandidateSet::add`], except that a full set is no error. Also returns [`Error::InvalidArgument`]
    /// for an index outside the set.
    pub fn put(&self, index: u32, request: &mut Request, candidate: usize) -> Result<(), Error> {
        request.check_layout(&self.layout)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed
        // mutably.
        unsafe { self.put_block(index, request.block_address(), candidate) }
    }

    /// Adds a candidate like [`CandidateSet::add`], from a block of raw memory.
    ///
    /// # Errors
    ///
    /// Fails like [`CandidateSet::add`], and for the block like
    /// [`Scorer::predict_block`](super::Scorer::predict_block).
    ///
    /// # Safety
    ///
    /// `block` is null, or points to memory that can be read and written for `layout().offsets().len_bytes` bytes
    /// during the call.
    pub unsafe fn add_block(&self, block: *mut u8, candidate: usize) -> Result<u32, Error> {
        // SAFETY: the caller's promise.
        let row = unsafe { self.copy_row(block, candidate) }?;
        let mut state = self.lock();
        let index = state.free.first().copied().unwrap_or(state.rows.len());
        if index >= self.capacity {
            return Err(Error::CandidateSetFull { expected: self.capacity as u64 });
        }
        state.replace(index, Some(row));
        #[expect(clippy::cast_possible_truncation, reason = "below the capacity")]
        Ok(index as u32)
    }

    /// Puts a candidate like [`CandidateSet::put`], from a block of raw memory.
    ///
    /// # Errors
    ///
    /// Fails like [`CandidateSet::put`], and for the block like
    /// [`Scorer::predict_block`](super::Scorer::predict_block).
    ///
    /// # Safety
    ///
    /// The caller promises what [`CandidateSet::add_block`] requires.
    pub unsafe fn put_block(&self, index: u32, block: *mut u8, candidate: usize) -> Result<(), Error> {
        let index = self.check_index(index)?;
        // SAFETY: the caller's promise.
        let row = unsafe { self.copy_row(block, candidate) }?;
        self.lock().replace(index, Some(row));
        Ok(())
    }

    /// Removes the candidate at `index`. Returns whether there was one. For a request that names the index from now on,
    /// the candidate has the status [`RowProblem::NoCandidate`].
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidArgument`] for an index outside the set.
    pub fn remove(&self, index: u32) -> Result<bool, Error> {
        let index = self.check_index(index)?;
        let mut state = self.lock();
        Ok(index < state.rows.len() && state.replace(index, None))
    }

    fn check_index(&self, index: u32) -> Result<usize, Error> {
        let index = index as usize;
        if index < self.capacity {
            return Ok(index);
        }
        let problem = format!("expected an index below the set's capacity of {}, found {index}", self.capacity);
        Err(Error::InvalidArgument { argument: "index", problem })
    }

    /// # Safety
    ///
    /// The caller promises what [`CandidateSet::add_block`] requires.
    unsafe fn copy_row(&self, block: *mut u8, candidate: usize) -> Result<StoredRow, Error> {
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(block, &self.layout) }?;
        let row_count = self.layout.capacity().candidates;
        if candidate >= row_count {
            return Err(Error::TooManyCandidates {
                expected: row_count as u64,
                found: (candidate as u64).saturating_add(1),
            });
        }
        let row = block.filled_candidate(candidate).map_err(|problem| {
            let problem = format!("candidate {candidate} cannot be put into a set: {problem}");
            Error::InvalidArgument { argument: "request", problem }
        })?;
        StoredRow::copy(row, &self.fields, self.values_per_field).map_err(|(field, problem)| {
            let limit = match problem {
                RowProblem::TooManyValues => format!(" (up to {} in this set)", self.values_per_field),
                _ => String::new(),
            };
            let problem = format!("candidate {candidate} is malformed in field `{}`: {problem}{limit}", field.name);
            Error::InvalidArgument { argument: "request", problem }
        })
    }

    /// Returns the set's candidates prepared for `model`, and keeps them up to date with each change. If the model is
    /// new to the set, this takes the time of some look-ups for each candidate.
    pub(super) fn prepare(&self, model: &Arc<Model>) -> Result<Arc<Prepared>, Error> {
        let mut state = self.lock();
        state.prepared.retain(|prepared| prepared.strong_count() > 0);
        let known =
            state.prepared.iter().filter_map(Weak::upgrade).find(|prepared| Arc::ptr_eq(prepared.model(), model));
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let prepared = Prepared::new(model, self.layout.schema(), self.capacity, self.values_per_field)?;
        for (index, row) in state.rows.iter().enumerate() {
            if row.is_some() {
                prepared.update(index, row.as_ref());
            }
        }
        let prepared = Arc::new(prepared);
        state.prepared.push(Arc::downgrade(&prepared));
        Ok(prepared)
    }

    pub(super) fn values_per_field(&self) -> usize {
        self.values_per_field
    }

    /// Returns the rows, and locks the set as long as they are borrowed. For the plain twin.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // At worst, a panic under the lock leaves a candidate that some models see and others do not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of a set.
pub(super) struct Rows<'a>(MutexGuard<'a, State>);

impl Rows<'_> {
    pub(super) fn get(&self, index: u32) -> Result<RowView<'_>, RowProblem> {
        let row = self.0.rows.get(index as usize).and_then(Option::as_ref);
        row.map(StoredRow::view).ok_or(RowProblem::NoCandidate)
    }
}

impl State {
    /// Puts a row at `index`, or removes the one there. Returns whether there was one.
    fn replace(&mut self, index: usize, row: Option<StoredRow>) -> bool {
        if index >= self.rows.len() {
            self.free.extend(self.rows.len()..=index);
            self.rows.resize_with(index + 1, || None);
        }
        if row.is_some() {
            self.free.remove(&index);
        } else {
            self.free.insert(index);
        }
        self.candidate_count += usize::from(row.is_some());
        let before = std::mem::replace(&mut self.rows[index], row);
        self.candidate_count -= usize::from(before.is_some());
        for prepared in self.prepared.iter().filter_map(Weak::upgrade) {
            prepared.update(index, self.rows[index].as_ref());
        }
        before.is_some()
    }
}
