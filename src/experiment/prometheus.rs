//! Writes what an experiment reports in the Prometheus text format, version 0.0.4.

use std::fmt::Write;

use super::status::{ArmStatus, ExperimentStatus};

/// A number of an arm.
type Number = fn(&ArmStatus) -> u64;

/// A family with a series for each arm and each word of `label`.
struct ArmFamily {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Its further label; empty if it has none.
    label: &'static str,
    numbers: &'static [(&'static str, Number)],
}

const ARM_FAMILIES: &[ArmFamily] = &[
    ArmFamily {
        name: "omomi_experiment_answered_requests_total",
        kind: "counter",
        help: "Requests that the arm answered.",
        label: "",
        numbers: &[("", |arm| arm.answered_count)],
    },
    ArmFamily {
        name: "omomi_experiment_fell_back_requests_total",
        kind: "counter",
        help: "Requests of the arm's units that the control arm answered, because the arm could not.",
        label: "",
        numbers: &[("", |arm| arm.fell_back_count)],
    },
    ArmFamily {
        name: "omomi_experiment_failed_requests_total",
        kind: "counter",
        help: "Requests of the arm's units that it failed to answer.",
        label: "",
        numbers: &[("", |arm| arm.failed_count)],
    },
    ArmFamily {
        name: "omomi_experiment_shadow_requests_total",
        kind: "counter",
        help: "Requests of the arm as a shadow: scored, skipped for lack of time, or failed.",
        label: "result",
        numbers: &[
            ("scored", |arm| arm.shadow_count),
            ("skipped", |arm| arm.shadow_skipped_count),
            ("failed", |arm| arm.shadow_failed_count),
        ],
    },
    ArmFamily {
        name: "omomi_experiment_arm_ready",
        kind: "gauge",
        help: "1 if the arm can answer or score now.",
        label: "",
        numbers: &[("", |arm| u64::from(arm.is_ready))],
    },
    ArmFamily {
        name: "omomi_experiment_guard_stopped",
        kind: "gauge",
        help: "1 if the guard has stopped the arm in this process.",
        label: "",
        numbers: &[("", |arm| u64::from(arm.guard_stop.is_some()))],
    },
    ArmFamily {
        name: "omomi_experiment_arm_share",
        kind: "gauge",
        help: "Buckets that the arm owns, or requests that it scores as a shadow, of 10,000.",
        label: "",
        numbers: &[("", |arm| u64::from(arm.share))],
    },
];

impl ExperimentStatus {
    /// Returns the status as Prometheus text (`text/plain; version=0.0.4`). Every series has the label `experiment`,
    /// and those of an arm the label `arm`. No family has the name of one of a live model or a serving log, so one page
    /// can have them all. The text of several experiments is not one page: each has the headings.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let problems = [&self.problem, &self.memory_problem].into_iter().flatten().count() as u64;
        for (name, kind, help, number) in [
            ("omomi_experiment_version", "gauge", "Version of the file in force; 0 if there is none.", self.version),
            ("omomi_experiment_problems", "gauge", "Current problems of the file and of what is kept.", problems),
            (
                "omomi_experiment_requests_without_unit_total",
                "counter",
                "Requests whose unit has no value, which the control arm answered.",
                self.without_unit_count,
            ),
            (
                "omomi_experiment_unready_requests_total",
                "counter",
                "Requests of arms whose store was not open, which the control arm answered.",
                self.unready_count,
            ),
        ] {
            heading(&mut text, name, kind, help);
            // Writing to a text never fails. Names have only letters that need no escape.
            let _ = writeln!(text, "{name}{{experiment=\"{}\"}} {number}", self.experiment);
        }
        for family in ARM_FAMILIES.iter().filter(|_| !self.arms.is_empty()) {
            heading(&mut text, family.name, family.kind, family.help);
            for arm in &self.arms {
                for (word, number) in family.numbers {
                    let (name, number) = (family.name, number(arm));
                    let _ = write!(text, "{name}{{experiment=\"{}\",arm=\"{}\"", self.experiment, arm.name);
                    if !family.label.is_empty() {
                        let _ = write!(text, ",{}=\"{word}\"", family.label);
                    }
                    let _ = writeln!(text, "}} {number}");
                }
            }
        }
        text
    }
}

fn heading(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}
