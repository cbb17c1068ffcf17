//! Swaps generations: prepares scorers for a verified generation, warms them, switches every live scorer, and frees the
//! old scorers. Also goes back to the last good generation.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::SystemTime;

use super::super::census::Census;
use super::super::decide::Loaded;
use super::super::load::{self, Stop, Trace};
use super::super::reason::Reason;
use super::super::seat::{Seat, Serving};
use super::super::status::Stage;
use super::{Holding, MAX_RECENT, Worker};
use crate::error::Error;
use crate::score::{Model, ModelIdentity};
use crate::store::{Current, Digest, Named};

/// For each live scorer, what will answer its requests after the switch.
type Prepared = Vec<(Arc<Seat>, Box<Serving>)>;

impl Worker {
    /// Creates scorers for the generation, warms them, and switches every live scorer to it.
    pub(super) fn swap_in(
        &mut self,
        what: Named,
        loaded: load::Loaded,
        reasons: Vec<Reason>,
        trace: &mut Trace,
    ) -> Result<(), Stop> {
        let load::Loaded { model, source, digest, load_mode } = loaded;
        let current = Current { generation: model.generation(), digest };
        let prepared = trace.stage(Stage::Prepare, || Ok(self.prepare(&model)?))?;
        trace.stage(Stage::Warm, || {
            self.warm(&prepared);
            Ok(())
        })?;
        trace.stage(Stage::Swap, || Ok(self.switch(&model, digest, prepared)?))?;
        let stamp = source.stamp();
        let holding = Holding { model, current, source, stamp, load_mode, since: SystemTime::now(), reasons };
        let before = self.served.replace(holding);
        self.known.loaded(what, Some(stamp), Loaded::Served(current));
        self.remember();
        match before {
            Some(before) if self.known.fallback() == Some(before.current) => {
                let older = self.fallback.replace(before);
                self.retire(older);
            }
            before => self.retire(before),
        }
        Ok(())
    }

    /// Frees the fallback once it is not needed any more.
    pub(super) fn drop_unneeded_fallback(&mut self) {
        if self.fallback.as_ref().map(|fallback| fallback.current) != self.known.fallback() {
            let fallback = self.fallback.take();
            self.retire(fallback);
        }
    }

    /// Serves the fallback again, if its bytes are still the verified ones.
    pub(super) fn restore(&mut self) {
        let fallback = self.fallback.take();
        if let Some(fallback) = fallback.filter(Holding::is_as_verified)
            && let Ok(prepared) = self.prepare(&fallback.model)
            && self.switch(&fallback.model, fallback.current.digest, prepared).is_ok()
        {
            let before = self.served.replace(fallback);
            self.retire(before);
            self.known.restored(true);
        } else {
            self.known.restored(false);
        }
        self.remember();
    }

    pub(super) fn prepare(&self, model: &Arc<Model>) -> Result<Prepared, Error> {
        // Not under the lock: preparing may take long, and scorers may be opened meanwhile.
        let seats = self.shared.seats().all.clone();
        seats
            .into_iter()
            .map(|seat| {
                let serving = Box::new(seat.serving(model)?);
                Ok((seat, serving))
            })
            .collect()
    }

    /// Scores recent requests with the new scorers, so that the memory they touch is in the caches.
    fn warm(&mut self, prepared: &Prepared) {
        for (seat, request) in &mut self.recent {
            let serving = prepared.iter().find(|(prepared, _)| Arc::ptr_eq(prepared, seat));
            if let Some((_, serving)) = serving
                && let Serving::Model(scorer) = &**serving
            {
                // SAFETY: the copy is a block of the seat's layout, which is the scorer's: aligned, and as long as the
                // layout says.
                let scored = unsafe { scorer.predict_block(request.block_address(), request.candidate_count, None) };
                // A request that the model refuses has still warmed what it touched.
                drop(scored);
            }
        }
    }

    /// Switches every live scorer to `model`.
    pub(super) fn switch(&mut self, model: &Arc<Model>, digest: Digest, prepared: Prepared) -> Result<(), Error> {
        let identity = Arc::new(ModelIdentity::new(model, digest.as_bytes()));
        let mut seats = self.shared.seats();
        let mut all = prepared;
        for seat in &seats.all {
            // Opened after the others were prepared.
            if !all.iter().any(|(prepared, _)| Arc::ptr_eq(prepared, seat)) {
                all.push((Arc::clone(seat), Box::new(seat.serving(model)?)));
            }
        }
        seats.served = Some(Arc::clone(model));
        if seats.recent.len() == MAX_RECENT {
            seats.recent.remove(0);
        }
        seats.recent.push(identity);
        for (seat, serving) in all {
            let replaced = seat.slot.replace(serving);
            self.replaced.push((seat, replaced));
        }
        Ok(())
    }

    /// Switches every live scorer to no generation.
    pub(super) fn switch_to_nothing(&mut self) {
        let mut seats = self.shared.seats();
        seats.served = None;
        for seat in &seats.all {
            let replaced = seat.slot.replace(Box::new(Serving::Nothing));
            self.replaced.push((Arc::clone(seat), replaced));
        }
    }

    pub(super) fn retire(&mut self, holding: Option<Holding>) {
        self.retired.extend(holding.map(|holding| holding.model));
    }

    /// Frees what no request uses any more: first scorers, then models, then the seats of closed scorers.
    pub(super) fn take_away(&mut self) {
        let mut used = Vec::new();
        for (seat, replaced) in self.replaced.drain(..) {
            if let Err(replaced) = seat.slot.free(replaced) {
                used.push((seat, replaced));
            }
        }
        self.replaced = used;
        let retired = std::mem::take(&mut self.retired);
        self.retired = retired.into_iter().filter_map(Model::give_back_slowly).collect();
        // If only the list holds a seat, its live scorer is gone.
        let (recent, mut seats) = (&mut self.recent, self.shared.seats());
        recent.retain(|(seat, _)| Arc::strong_count(seat) > 2);
        let all = std::mem::take(&mut seats.all);
        let (left, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|seat| Arc::strong_count(seat) == 1);
        seats.all = kept;
        // The last counts of a scorer's thread happen before it drops the seat; this fence orders our reads after that.
        fence(Ordering::Acquire);
        for seat in &left {
            seats.closed_scorers.add(&seat.counters);
        }
        drop(seats);
        drop(left);
    }

    pub(super) fn take_samples(&mut self) {
        let seats = self.shared.seats().all.clone();
        let mut census = self.served.as_ref().map(|served| Census::of(&served.model, &self.shared.field_names));
        for seat in seats {
            if let Some(mut sample) = seat.sample.take() {
                if let Some(census) = &mut census {
                    census.count(&seat, &mut sample);
                }
                self.recent.retain(|(known, _)| !Arc::ptr_eq(known, &seat));
                self.recent.push((seat, sample));
            }
        }
        if let Some(census) = census {
            self.shared.ledger().sampled(&census);
        }
    }
}
