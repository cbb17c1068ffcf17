//! Prepared candidates: creatives live for hours, so their rows are handed over once, and requests then name them by index.
//!
//! A set keeps the rows. For each model that a scorer was opened with it also keeps what that model makes of them: the sum of each
//! candidate's own weights, and the feature keys that crosses with the context need. A model that is loaded later is prepared when
//! its first scorer is opened, off the request path; what belongs to a model that nobody scores with any more is given back.

mod prepared;
mod records;
mod stored_row;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use prepared::Prepared;
pub(super) use prepared::{Contents, Lists, Record, RecordCounts};
pub(super) use records::Records;

use super::block::{Block, RowView};
use super::plan::PlannedField;
use super::{Model, Request};
use crate::contract::Side;
use crate::error::{Error, RowProblem};
use crate::request::{Candidates, MAX_VALUES_PER_FIELD, RequestLayout};
use stored_row::StoredRow;

/// Most candidates of a set.
pub const MAX_PREPARED_CANDIDATES: usize = 1 << 20;

/// Candidates that requests name by index. Rows may be added, replaced and removed at any time by any thread, while others
/// score: a request scores each candidate as it was before a change or as it is after it, never as a mixture, and no scoring thread
/// waits.
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
    /// By index; as long as the highest index ever used asks for.
    rows: Vec<Option<StoredRow>>,
    /// Indices below the rows' length that hold no candidate.
    free: BTreeSet<usize>,
    candidate_count: usize,
    prepared: Vec<Weak<Prepared>>,
}

impl CandidateSet {
    /// An empty set for up to `capacity` candidates, whose rows will come from requests of `layout`. A `many` field of a row may
    /// have up to `values_per_field` values. Memory is taken as indices are used, not for the whole capacity at once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a layout whose candidates are not rows, for a capacity of 0 or above
    /// [`MAX_PREPARED_CANDIDATES`], or for more than [`MAX_VALUES_PER_FIELD`] values.
    pub fn new(layout: &RequestLayout, capacity: usize, values_per_field: usize) -> Result<Self, Error> {
        let invalid = |argument, problem| Err(Error::InvalidArgument { argument, problem });
        if layout.candidates() != Candidates::Inline {
            let problem = "its candidates are indices; a set takes rows from requests that have rows".to_owned();
            return invalid("layout", problem);
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
            fields: declared.map(|(slot, field)| stored_row::declared(slot, field)).collect(),
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

    /// The layout of the requests that carry rows into the set.
    #[must_use]
    pub const fn layout(&self) -> &RequestLayout {
        &self.layout
    }

    /// Most candidates at once; indices lie below it.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of candidates in the set.
    #[must_use]
    pub fn candidate_count(&self) -> usize {
        self.lock().candidate_count
    }

    /// Adds the candidate whose row is that of candidate `candidate` of `request`, and returns its index: the lowest that is free.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCandidates`] if the set is full, or if the request has no such row; [`Error::InvalidArgument`] naming the
    /// field if the row cannot be read or has too many values, or for a request of another layout. The set is as it was then.
    pub fn add(&self, request: &mut Request, candidate: usize) -> Result<u32, Error> {
        request.check_layout(&self.layout)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.add_block(request.block_address(), candidate) }
    }

    /// Puts the candidate whose row is that of candidate `candidate` of `request` at `index`, in place of what was there.
    ///
    /// # Errors
    ///
    /// As [`CandidateSet::add`]; [`Error::InvalidArgument`] also for an index outside the set.
    pub fn put(&self, index: u32, request: &mut Request, candidate: usize) -> Result<(), Error> {
        request.check_layout(&self.layout)?;
        // SAFETY: the request owns a block of this layout, aligned and as long as the layout says, and is borrowed mutably.
        unsafe { self.put_block(index, request.block_address(), candidate) }
    }

    /// [`CandidateSet::add`] from a block of raw memory.
    ///
    /// # Errors
    ///
    /// As there, and as [`Scorer::predict_block`](super::Scorer::predict_block) for the block.
    ///
    /// # Safety
    ///
    /// `block` is null, or points to memory that can be read and written for `layout().offsets().len_bytes` bytes during the call.
    pub unsafe fn add_block(&self, block: *mut u8, candidate: usize) -> Result<u32, Error> {
        // SAFETY: the caller's promise.
        let row = unsafe { self.copy_row(block, candidate) }?;
        let mut state = self.lock();
        let index = state.free.first().copied().unwrap_or(state.rows.len());
        if index >= self.capacity {
            return Err(Error::TooManyCandidates { expected: self.capacity as u64, found: self.capacity as u64 + 1 });
        }
        state.replace(index, Some(row));
        #[expect(clippy::cast_possible_truncation, reason = "below the capacity")]
        Ok(index as u32)
    }

    /// [`CandidateSet::put`] from a block of raw memory.
    ///
    /// # Errors
    ///
    /// As there, and as [`Scorer::predict_block`](super::Scorer::predict_block) for the block.
    ///
    /// # Safety
    ///
    /// As [`CandidateSet::add_block`].
    pub unsafe fn put_block(&self, index: u32, block: *mut u8, candidate: usize) -> Result<(), Error> {
        let index = self.check_index(index)?;
        // SAFETY: the caller's promise.
        let row = unsafe { self.copy_row(block, candidate) }?;
        self.lock().replace(index, Some(row));
        Ok(())
    }

    /// Removes the candidate at `index`, if there is one, and says whether there was. A request that names it from now on gets the
    /// status [`RowProblem::NoCandidate`] for it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for an index outside the set.
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
    /// As [`CandidateSet::add_block`].
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
        StoredRow::copy(block.candidate(candidate), &self.fields, self.values_per_field).map_err(|(field, problem)| {
            let limit = match problem {
                RowProblem::TooManyValues => format!(" (up to {} in this set)", self.values_per_field),
                _ => String::new(),
            };
            let problem = format!("candidate {candidate} is malformed in field `{}`: {problem}{limit}", field.name);
            Error::InvalidArgument { argument: "request", problem }
        })
    }

    /// What `model` makes of the set's candidates, now and after each change. Takes the time of some look-ups for each candidate when
    /// the model is new to the set.
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

    /// The rows, held as they are for as long as the answer lives. For the plain twin.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves at worst a candidate that some models see and others do not.
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
    /// Puts a row at `index`, or none, and says whether there was one.
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
