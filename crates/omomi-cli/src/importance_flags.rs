//! Flags that say how much each row of a log counts.

use clap::ArgAction;
use omomi_train::log::ReadOptions;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ImportanceFlags {
    /// Column with the importance of a row, such as 10 for a row that also represents nine rows left out of the log. A
    /// model that was trained with one needs it, or --unweighted, in every later step
    #[arg(long, value_name = "COLUMN")]
    importance_column: Option<String>,
    /// Count each row once although the model was trained with an importance column, because nothing was left out of
    /// these logs
    #[arg(
        long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", conflicts_with = "importance_column", hide_possible_values = true
    )]
    unweighted: bool,
}

impl ImportanceFlags {
    /// Returns the options with these flags.
    pub(crate) fn applied_to(&self, read: ReadOptions) -> ReadOptions {
        read.with(|it| {
            it.importance_column = self.importance_column.clone();
            it.unweighted = self.unweighted;
        })
    }

    /// The flags of a command that reads like this one, with a space before each.
    pub(crate) fn words(&self, quoted: impl Fn(&str) -> String) -> String {
        let column = self.importance_column.as_ref();
        let column = column.map_or_else(String::new, |column| format!(" --importance-column {}", quoted(column)));
        if self.unweighted { column + " --unweighted" } else { column }
    }
}
