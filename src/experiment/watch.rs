//! Predictions of arms that wait for their clicks. Request threads note them without locks; the background thread takes
//! those whose window is over. A prediction has a place by its id. If that is taken, it is not watched: whether it is
//! depends on nothing that the prediction says, so those that are watched are a fair sample.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of predictions that can wait, a power of two: 3 MiB.
const CAPACITY: usize = 1 << 17;
const SHOWN: u64 = 1 << 48;
const CLICKED: u64 = 1 << 49;
/// Set once a place says all of its prediction.
const SEEN: u64 = 1 << 50;

/// The predictions that wait.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Box<[Place]>,
    opened: Instant,
}

#[derive(Debug, Default)]
struct Place {
    /// Half of the id of the prediction; 0 if the place is free.
    id: AtomicU64,
    /// The bits of the probability, the arm from bit 32 on, and what has happened.
    seen: AtomicU64,
    /// Seconds since the watch was opened, and from bit 32 on the lower half of the generation.
    when: AtomicU64,
}

/// A prediction whose window is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Watched {
    pub(super) arm: u16,
    /// The lower half of the number of the generation.
    pub(super) generation: u32,
    pub(super) probability: f32,
    pub(super) was_shown: bool,
    pub(super) was_clicked: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        let places = std::iter::repeat_with(Place::default).take(CAPACITY).collect();
        Self { places, opened: Instant::now() }
    }

    fn place(&self, id: u64) -> &Place {
        #[expect(clippy::cast_possible_truncation, reason = "it is masked")]
        let index = id as usize & (CAPACITY - 1);
        &self.places[index]
    }

    fn now_seconds(&self) -> u64 {
        self.opened.elapsed().as_secs() & 0xffff_ffff
    }

    /// Notes a prediction. `id` is half of its id, which is a hash.
    pub(crate) fn predicted(&self, id: u64, arm: u16, generation: u64, probability: f32) {
        let place = self.place(id);
        if id == 0 || place.id.load(Ordering::Relaxed) != 0 {
            return;
        }
        // No thread reads the place before it is marked as seen.
        if place.id.compare_exchange(0, id, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            place.when.store(self.now_seconds() | generation << 32, Ordering::Relaxed);
            place.seen.store(u64::from(probability.to_bits()) | u64::from(arm) << 32 | SEEN, Ordering::Release);
        }
    }

    /// Notes that the ad of a prediction was shown or clicked. A click is of an ad that was shown.
    pub(crate) fn happened(&self, id: u64, is_click: bool) {
        let place = self.place(id);
        if id != 0 && place.id.load(Ordering::Acquire) == id && place.seen.load(Ordering::Acquire) & SEEN != 0 {
            place.seen.fetch_or(if is_click { SHOWN | CLICKED } else { SHOWN }, Ordering::AcqRel);
        }
    }

    /// Takes the predictions that have waited for `window`. Only the background thread calls this.
    pub(super) fn take(&self, window: Duration, mut each: impl FnMut(Watched)) {
        let now = self.now_seconds();
        for place in &self.places {
            if place.id.load(Ordering::Acquire) == 0 || place.seen.load(Ordering::Acquire) & SEEN == 0 {
                continue;
            }
            let when = place.when.load(Ordering::Relaxed);
            if now.saturating_sub(when & 0xffff_ffff) <= window.as_secs() {
                continue;
            }
            let seen = place.seen.swap(0, Ordering::AcqRel);
            place.id.store(0, Ordering::Release);
            #[expect(clippy::cast_possible_truncation, reason = "the parts of a word")]
            each(Watched {
                arm: (seen >> 32) as u16,
                generation: (when >> 32) as u32,
                probability: f32::from_bits(seen as u32),
                was_shown: seen & SHOWN != 0,
                was_clicked: seen & CLICKED != 0,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(watch: &Watch) -> Vec<Watched> {
        let mut all = Vec::new();
        std::thread::sleep(Duration::from_millis(1_050));
        watch.take(Duration::ZERO, |it| all.push(it));
        all
    }

    #[test]
    fn a_prediction_waits_for_its_events_and_is_taken_once() {
        let watch = Watch::new();
        watch.predicted(7, 3, (9 << 32) + 5, 0.25);
        watch.predicted(8, 4, 6, 0.5);
        // Its place is taken.
        watch.predicted(7 + CAPACITY as u64, 1, 1, 0.75);
        watch.happened(7, true);
        watch.happened(7, true);
        watch.happened(8, false);
        watch.happened(7 + CAPACITY as u64, true);
        watch.happened(0, true);
        watch.take(Duration::from_secs(60), |it| panic!("{it:?}"));
        let of = |arm, generation, probability, was_clicked| Watched {
            arm,
            generation,
            probability,
            was_shown: true,
            was_clicked,
        };
        assert_eq!(taken(&watch), [of(3, 5, 0.25, true), of(4, 6, 0.5, false)]);
        assert_eq!(taken(&watch), []);
        // The place is free again.
        watch.predicted(7 + CAPACITY as u64, 1, 1, 0.75);
        let again = Watched { was_shown: false, ..of(1, 1, 0.75, false) };
        assert_eq!(taken(&watch), [again]);
    }

    #[test]
    fn threads_may_note_predictions_and_events_while_they_are_taken() {
        let watch = Watch::new();
        let clicked = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..3_u64 {
                let watch = &watch;
                scope.spawn(move || {
                    for index in 0..30_000_u64 {
                        let id = (index * 3 + thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        watch.predicted(id, 2, 1, 0.5);
                        watch.happened(id, true);
                    }
                });
            }
            for _ in 0..20 {
                watch.take(Duration::ZERO, |it| {
                    assert_eq!((it.arm, it.probability, it.was_clicked), (2, 0.5, true));
                    clicked.fetch_add(1, Ordering::Relaxed);
                });
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        clicked.fetch_add(taken(&watch).iter().filter(|it| it.was_clicked).count() as u64, Ordering::Relaxed);
        assert!(clicked.into_inner() > 60_000);
    }
}
