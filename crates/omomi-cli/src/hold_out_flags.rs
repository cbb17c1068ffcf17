//! Flags that hold out rows of a log by a rule.

use omomi::contract::TimeUnit;
use omomi_train::log::{HoldOut, HoldOutRule, KeptRows, ReadOptions};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HoldOutFlags {
    /// Rows of the logs to hold out: 'every 5' (of each file), 'last 10%' or 'from 2026-01-05T00:00:00Z' (by
    /// --time-column), '10% of COLUMN' (by a hash of its values). `train` and `tune` leave these rows out and predict
    /// them; all later steps read only them, if they get the same rule
    #[arg(long, value_name = "RULE")]
    held_out_rows: Option<HoldOutRule>,
}

impl HoldOutFlags {
    /// Returns the options with these flags, which read the rows that the step uses.
    pub(crate) fn applied_to(&self, read: ReadOptions, kept: KeptRows) -> ReadOptions {
        let hold_out = self.held_out_rows.clone().map(|rule| HoldOut { rule, kept });
        read.with(|it| it.hold_out = hold_out)
    }

    /// The rule in words.
    pub(crate) fn rule(&self) -> Option<String> {
        self.held_out_rows.as_ref().map(HoldOutRule::to_string)
    }

    /// The flags of a command that reads like this one, with a space before each.
    pub(crate) fn words(&self, quoted: impl Fn(&str) -> String) -> String {
        let rule = self.held_out_rows.as_ref();
        rule.map_or_else(String::new, |rule| format!(" --held-out-rows {}", quoted(&rule.to_string())))
    }
}

/// Flags about times, for steps that need them only to hold out rows.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TimeFlags {
    /// Column with the time of the impression, for --held-out-rows
    #[arg(long, value_name = "COLUMN", requires = "held_out_rows")]
    time_column: Option<String>,
    /// Unit of times that are integers [default: that of the contract, or a guess, which is reported]
    #[arg(long, value_name = "UNIT", value_parser = crate::text::parse_time_unit)]
    time_unit: Option<TimeUnit>,
    /// Take any time, even before 2000 or in the future
    #[arg(long)]
    any_time: bool,
}

impl TimeFlags {
    pub(crate) fn applied_to(&self, read: ReadOptions) -> ReadOptions {
        let Self { time_column, time_unit, any_time } = self.clone();
        read.with(|it| {
            it.time_column = time_column;
            it.time_unit = time_unit;
            it.any_time = any_time;
        })
    }
}
