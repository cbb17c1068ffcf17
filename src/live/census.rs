//! Census: counts, per field, the categories without a weight. Runs on the background thread over sampled copies of
//! requests, with the plain (non-SIMD) lookup.

use std::sync::Arc;

use super::ledger::{FieldNames, MAX_FIELDS};
use super::sample::SampledRequest;
use super::seat::{Seat, Serving};
use crate::score::Model;

/// Category counts of one field.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Categories {
    pub(super) count: u64,
    pub(super) unseen_count: u64,
}

/// Counts of one generation in one pass of the background thread.
#[derive(Debug)]
pub(super) struct Census<'a> {
    model: &'a Arc<Model>,
    names: &'a FieldNames,
    /// Scorers that read samples. Seats with the same layout and candidate set share one, because creating it takes
    /// longer than counting.
    readers: Vec<(Arc<Seat>, Serving)>,
    pub(super) request_count: u64,
    pub(super) fields: [Categories; MAX_FIELDS],
}

impl<'a> Census<'a> {
    pub(super) fn of(model: &'a Arc<Model>, names: &'a FieldNames) -> Self {
        let fields = [Categories::default(); MAX_FIELDS];
        Self { model, names, readers: Vec::new(), request_count: 0, fields }
    }

    pub(super) fn generation(&self) -> u64 {
        self.model.generation()
    }

    /// Counts the categories of a copy that was taken at `seat`.
    pub(super) fn count(&mut self, seat: &Arc<Seat>, request: &mut SampledRequest) {
        let reader = match self.readers.iter().position(|(known, _)| reads_as(known, seat)) {
            Some(index) => index,
            None => {
                // Not the seat's own scorer: a request would find it in use.
                let Ok(serving) = seat.serving(self.model) else { return };
                self.readers.push((Arc::clone(seat), serving));
                self.readers.len() - 1
            }
        };
        let Serving::Model(scorer) = &self.readers[reader].1 else { return };
        let (names, fields) = (self.names, &mut self.fields);
        let mut note = |name: &str, is_known: bool| {
            // Crosses have no index.
            if let Some(index) = names.index_of(name) {
                fields[index].count += 1;
                fields[index].unseen_count += u64::from(!is_known);
            }
        };
        // SAFETY: the copy is a block of the seat's layout, which is the scorer's, aligned and as long as the layout
        // says.
        let seen = unsafe { scorer.observe_block(request.block_address(), request.candidate_count, &mut note) };
        self.request_count += u64::from(seen.is_ok());
    }
}

/// Whether requests of the two seats can be read by one scorer.
fn reads_as(known: &Seat, seat: &Seat) -> bool {
    let is_one_set = match (&known.candidates, &seat.candidates) {
        (None, None) => true,
        (Some(known), Some(set)) => Arc::ptr_eq(known, set),
        _ => false,
    };
    is_one_set && known.layout.offsets() == seat.layout.offsets()
}
