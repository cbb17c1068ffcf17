//! Columns that are in the path of a file instead of the file: `dt=2026-01-01/part-0.parquet`, as Hive and Spark write
//! them.

use std::path::{Component, Path};

use super::LogError;
use super::builder::BatchBuilder;
use super::error::RowFault;
use super::time::TimeReader;
use super::wanted_columns::{Target, Wanted};

/// What Hive writes for a missing value.
const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that the folders of a file's path name, and those of them that are wanted and not in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Partitions {
    /// Names and texts, the innermost folder first. No text is a missing value.
    found: Vec<(String, Option<String>)>,
    /// The columns that are read from the path.
    cells: Vec<(Target, Option<String>)>,
}

impl Partitions {
    pub(super) fn of(file: &Path) -> Self {
        let folders = file.parent().into_iter().flat_map(Path::components).rev();
        let found = folders.filter_map(|folder| {
            let Component::Normal(name) = folder else { return None };
            let (name, text) = name.to_str()?.split_once('=')?;
            let text = unescaped(text)?;
            (!name.is_empty()).then(|| (name.to_owned(), (text != MISSING && !text.is_empty()).then_some(text)))
        });
        Self { found: found.collect(), cells: Vec::new() }
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(|(name, _)| name.as_str())
    }

    /// Reads `target` from the path if a folder names `column`. Returns whether one does.
    pub(super) fn take(&mut self, column: &str, target: Target) -> bool {
        let Some((_, text)) = self.found.iter().find(|(name, _)| name == column) else { return false };
        self.cells.push((target, text.clone()));
        true
    }

    /// The columns that are read from the path, each with its text.
    pub(super) fn cells(&self) -> &[(Target, Option<String>)] {
        &self.cells
    }

    /// Checks that the texts fit their columns, so that a bad one is one error and not a bad row for each row.
    pub(super) fn check(&self, file: &Path, wanted: &Wanted, many_separator: char) -> Result<(), LogError> {
        for (target, text) in &self.cells {
            let pushed = match text {
                Some(text) => BatchBuilder::new(wanted, 1, TimeReader::new(None, true)).push_csv_cell(
                    *target,
                    text.as_bytes(),
                    many_separator,
                ),
                None if matches!(target, Target::Field(_) | Target::Keys(_) | Target::Extra(_)) => Ok(()),
                None => Err(RowFault::Missing { expected: "a value in every row" }),
            };
            pushed.map_err(|fault| LogError::BadPartition {
                file: file.to_owned(),
                column: wanted.name(*target).to_owned(),
                fault,
            })?;
        }
        Ok(())
    }

    /// Adds the columns to the row under construction.
    #[inline]
    pub(super) fn push(&self, batch: &mut BatchBuilder, many_separator: char) -> Result<(), (Target, RowFault)> {
        for (target, text) in &self.cells {
            let text = text.as_deref().unwrap_or_default().as_bytes();
            batch.push_csv_cell(*target, text, many_separator).map_err(|fault| (*target, fault))?;
        }
        Ok(())
    }
}

/// Decodes `%3A` and the like. Returns `None` if the result is not UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = if byte == b'%' { after.get(..2).and_then(|code| std::str::from_utf8(code).ok()) } else { None };
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_an_equals_sign_are_columns() {
        let of = |path: &str| Partitions::of(Path::new(path)).found;
        let cell = |name: &str, text: Option<&str>| (name.to_owned(), text.map(str::to_owned));
        assert_eq!(
            of("/logs/dt=2026-01-01/site=a%3Db%/x=y.csv"),
            [cell("site", Some("a=b%")), cell("dt", Some("2026-01-01"))]
        );
        assert_eq!(of("a=__HIVE_DEFAULT_PARTITION__/b=/=c/d.csv"), [cell("b", None), cell("a", None)]);
        assert_eq!(of("d.csv"), []);
    }
}
