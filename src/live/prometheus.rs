//! Writes metrics of live models in the Prometheus text format, version 0.0.4, into the caller's memory.

use std::fmt::{self, Display, Write};

use super::latency::Latency;
use super::ledger::{CodeCounts, SampledField};
use super::metrics::{LiveMetrics, ServedMetrics};
use super::status::{ServingState, Stage};
use crate::printable::is_control;
use crate::store::Target;

impl LiveMetrics {
    /// Writes the metrics as Prometheus text (`text/plain; version=0.0.4`) into `buffer`, and returns the length of the
    /// text. Allocates nothing. Every series has the labels `store` (the name of the store's directory) and `logic_id`.
    ///
    /// # Errors
    ///
    /// Returns the length that is needed if `buffer` is shorter. The contents of `buffer` are then incomplete.
    pub fn write_prometheus(&self, buffer: &mut [u8]) -> Result<usize, usize> {
        Self::write_prometheus_of(&[self], buffer)
    }

    /// Writes the metrics of several live models as one Prometheus text, with each heading once, and returns its
    /// length. The directories of their stores must have different names. Metrics that are named twice are written
    /// once. Allocates nothing.
    ///
    /// # Errors
    ///
    /// Returns the length that is needed if `buffer` is shorter. The contents of `buffer` are then incomplete.
    pub fn write_prometheus_of(metrics: &[&Self], buffer: &mut [u8]) -> Result<usize, usize> {
        let capacity = buffer.len();
        let mut page = Page { buffer, len: 0, metrics };
        page.write_requests();
        page.write_served();
        page.write_swaps();
        page.write_memory();
        page.write_health();
        if page.len <= capacity { Ok(page.len) } else { Err(page.len) }
    }
}

/// A text buffer that keeps counting the length when it is full.
struct Page<'b, 'm> {
    buffer: &'b mut [u8],
    len: usize,
    metrics: &'m [&'m LiveMetrics],
}

impl Write for Page<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(room) = self.buffer.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text.as_bytes());
        }
        self.len += text.len();
        Ok(())
    }
}

/// Escapes a label value: puts a backslash before each backslash, quote and line end, and writes other control
/// characters as text, such as `\\u{1b}`.
pub(crate) struct Escaping<'a, W>(pub(crate) &'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |character: char| matches!(character, '\\' | '"') || is_control(character);
        for part in text.split_inclusive(is_special) {
            let last = part.chars().next_back().filter(|last| is_special(*last));
            self.0.write_str(&part[..part.len() - last.map_or(0, char::len_utf8)])?;
            match last {
                None => {}
                Some('\\') => self.0.write_str("\\\\")?,
                Some('"') => self.0.write_str("\\\"")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some(other) => write!(self.0, "\\\\u{{{:x}}}", u32::from(other))?,
            }
        }
        Ok(())
    }
}

/// Extra labels of a series.
type Labels<'a> = &'a [(&'a str, &'a dyn Display)];
/// Receives the series of one family: suffix of the name, labels, value.
type Take<'a> = &'a mut dyn FnMut(&str, Labels<'_>, &dyn Display);

impl Page<'_, '_> {
    /// Writes a metric family: its heading, and the series that `series` gives for each live model. Leaves out a family
    /// without series.
    fn family(&mut self, name: &str, kind: &str, help: &str, series: impl Fn(&LiveMetrics, Take<'_>)) {
        let mut has_heading = false;
        let all = self.metrics;
        for (index, metrics) in all.iter().enumerate() {
            if all[..index].iter().any(|earlier| std::ptr::eq(*earlier, *metrics)) {
                continue;
            }
            series(metrics, &mut |suffix, labels, value| {
                // Writing to a page never fails.
                if !has_heading {
                    has_heading = true;
                    let _ = write!(self, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
                }
                let _ = write!(self, "{name}{suffix}{{");
                self.label("store", &metrics.store_name());
                if let Some(logic_id) = metrics.logic_id() {
                    let _ = self.write_char(',');
                    self.label("logic_id", &logic_id);
                }
                for (label, text) in labels {
                    let _ = self.write_char(',');
                    self.label(label, text);
                }
                let _ = writeln!(self, "}} {value}");
            });
        }
    }

    fn label(&mut self, name: &str, value: &dyn Display) {
        let _ = write!(self, "{name}=\"");
        let _ = write!(Escaping(self), "{value}");
        let _ = self.write_char('"');
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Fn(&LiveMetrics) -> u64) {
        self.family(name, "counter", help, |metrics, take| take("", &[], &value(metrics)));
    }

    /// Writes a gauge. Leaves it out for models for which it has no value.
    fn gauge<T: Display>(&mut self, name: &str, help: &str, value: impl Fn(&LiveMetrics) -> Option<T>) {
        self.family(name, "gauge", help, |metrics, take| {
            if let Some(value) = value(metrics) {
                take("", &[], &value);
            }
        });
    }

    fn served_gauge<T: Display>(&mut self, name: &str, help: &str, value: impl Fn(&ServedMetrics) -> Option<T>) {
        self.gauge(name, help, |metrics| metrics.served.as_ref().and_then(&value));
    }

    fn write_requests(&mut self) {
        self.counter("omomi_predictions_total", "Requests that were scored.", |metrics| metrics.requests.predictions);
        let help = "Requests that the fallback file answered.";
        self.family("omomi_fallback_predictions_total", "counter", help, |metrics, take| {
            if let Some(count) = metrics.fallbacks {
                take("", &[], &count);
            }
        });
        let help = "Requests that were not scored, by reason.";
        self.family("omomi_unscored_requests_total", "counter", help, |metrics, take| {
            let requests = &metrics.requests;
            for (reason, count) in [
                ("busy", requests.busy),
                ("no_model", requests.no_model),
                ("off", requests.off),
                ("panic", requests.panics),
                ("refused", requests.failed),
            ] {
                take("", &[("reason", &reason)], &count);
            }
        });
        self.family(
            "omomi_candidates_total",
            "counter",
            "Candidates of scored requests, by status.",
            |metrics, take| {
                let requests = &metrics.requests;
                for (status, count) in
                    [("scored", requests.scored), ("refused", requests.refused), ("late", requests.late)]
                {
                    take("", &[("status", &status)], &count);
                }
            },
        );
        self.counter("omomi_unseen_categories_total", "Categories without a weight.", |metrics| {
            metrics.requests.unseen
        });
        self.counter("omomi_missing_values_total", "Fields that the model reads and that had no value.", |metrics| {
            metrics.requests.missing
        });
        self.counter("omomi_invalid_numbers_total", "Numbers outside the range of their field.", |metrics| {
            metrics.requests.invalid_numbers
        });
        let help = "Time from the call to the last answer of scored requests.";
        self.family("omomi_prediction_latency_seconds", "histogram", help, |metrics, take| {
            take_histogram(&metrics.latency, take);
        });
        self.counter("omomi_sampled_requests_total", "Requests whose categories were counted by field.", |metrics| {
            metrics.sampled_requests
        });
        let help = "Categories in sampled requests, by field.";
        self.field_family("omomi_sampled_categories_total", "counter", help, |field| Some(field.categories));
        let help = "Categories without a weight in sampled requests, by field.";
        self.field_family("omomi_sampled_unseen_categories_total", "counter", help, |field| Some(field.unseen));
        let help = "Share of sampled categories without a weight since the generation was swapped in, by field.";
        self.field_family("omomi_sampled_unseen_ratio", "gauge", help, SampledField::unseen_ratio);
    }

    fn field_family<T: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&SampledField) -> Option<T>,
    ) {
        self.family(name, kind, help, |metrics, take| {
            for (field, counts) in metrics.fields() {
                if let Some(value) = value(counts) {
                    take("", &[("field", &field)], &value);
                }
            }
        });
    }

    fn write_served(&mut self) {
        let help = "1 for the state that requests find, 0 for the others.";
        self.family("omomi_state", "gauge", help, |metrics, take| {
            for state in ServingState::ALL {
                take("", &[("state", &state.name())], &u8::from(state == metrics.state));
            }
        });
        let help = "1 for the orders in force, 0 for the others: off, and one of follow, freeze and pin.";
        self.family("omomi_control", "gauge", help, |metrics, take| {
            let target = match metrics.control.target {
                Target::Follow => "follow",
                Target::Freeze(_) => "freeze",
                Target::Pin(_) => "pin",
            };
            for known in ["follow", "freeze", "off", "pin"] {
                let is_off = known == "off" && metrics.control.is_off();
                take("", &[("control", &known)], &u8::from(is_off || known == target));
            }
        });
        self.served_gauge("omomi_served_generation", "Generation that is served.", |served| Some(served.generation));
        let help = "1 while the served generation is on trial.";
        self.served_gauge("omomi_served_on_trial", help, |served| Some(u8::from(served.is_on_trial)));
        let help = "When the served generation began to answer.";
        self.served_gauge("omomi_served_since_timestamp_seconds", help, |served| Some(served.since_unix_seconds));
        let help = "Number of weights of the served generation.";
        self.served_gauge("omomi_served_weights", help, |served| Some(served.weight_count));
        let help = "End of the training data of the served generation.";
        self.served_gauge("omomi_training_end_timestamp_seconds", help, |served| served.training_end_unix_seconds);
        let help = "Age of the training data of the served generation.";
        self.gauge("omomi_training_age_seconds", help, LiveMetrics::training_age_seconds);
    }

    fn write_swaps(&mut self) {
        let help =
            "Attempts to serve a generation, and served generations that were withdrawn, by outcome, code and owner.";
        self.family("omomi_swaps_total", "counter", help, |metrics, take| {
            take("", &[("outcome", &"served")], &metrics.swaps.served);
            take("", &[("outcome", &"interrupted")], &metrics.swaps.interrupted);
            take_codes(&metrics.swaps.refused, Some("refused"), take);
            take_codes(&metrics.swaps.withdrawn, Some("withdrawn"), take);
        });
        let help = "Duration of each stage of the last attempt to serve a generation.";
        self.family("omomi_last_load_stage_seconds", "gauge", help, |metrics, take| {
            let Some(load) = &metrics.last_load else { return };
            for (stage, took) in Stage::ALL.iter().zip(load.stages) {
                if let Some(took) = took {
                    take("", &[("stage", &stage.name())], &took.as_secs_f64());
                }
            }
        });
        self.gauge("omomi_quarantined_contents", "Contents that are not tried again.", |metrics| {
            Some(metrics.quarantined_count)
        });
        let help = "Generations that are no longer served but still in memory.";
        self.gauge("omomi_retired_generations", help, |metrics| Some(metrics.retired_count));
    }

    fn write_memory(&mut self) {
        self.gauge("omomi_mapped_bytes", "Total size of all models in memory.", |metrics| Some(metrics.mapped_bytes));
        let help = "Resident size of all models.";
        self.gauge("omomi_resident_bytes", help, |metrics| metrics.resident_bytes);
    }

    fn write_health(&mut self) {
        let help = "1 if the background thread follows the store.";
        self.gauge("omomi_live", help, |metrics| Some(u8::from(metrics.is_live)));
        self.gauge("omomi_ready", "1 if requests may be sent.", |metrics| Some(u8::from(metrics.is_ready)));
        let help = "Current problems, by code and by who must act.";
        self.family("omomi_reasons", "gauge", help, |metrics, take| take_codes(&metrics.reasons, None, take));
        let help = "When the background thread last completed a look at the store.";
        self.gauge("omomi_last_pass_timestamp_seconds", help, |metrics| Some(metrics.last_pass_unix_seconds));
    }
}

fn take_codes(counts: &CodeCounts, outcome: Option<&str>, take: Take<'_>) {
    for (code, count) in counts.iter() {
        let (outcome_name, code_name, owner) = (outcome.unwrap_or_default(), code.name(), code.owner().word());
        let labels: [(&str, &dyn Display); 3] = [("outcome", &outcome_name), ("code", &code_name), ("owner", &owner)];
        take("", &labels[usize::from(outcome.is_none())..], &count);
    }
}

fn take_histogram(latency: &Latency, take: Take<'_>) {
    let mut so_far = 0;
    for (bound_ns, count) in Latency::BOUNDS_NS.into_iter().zip(latency.counts) {
        so_far += count;
        take("_bucket", &[("le", &seconds(bound_ns))], &so_far);
    }
    let count = latency.count();
    take("_bucket", &[("le", &"+Inf")], &count);
    take("_sum", &[], &seconds(latency.sum_ns));
    take("_count", &[], &count);
}

#[expect(clippy::cast_precision_loss, reason = "what does not fit into a double is more than a hundred days")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
