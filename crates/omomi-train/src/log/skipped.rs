//! Files that a pattern matches or a folder contains, but that are not read as logs.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file or folder that was not read, although a pattern matches it or a folder contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it was not read.
    pub reason: SkipReason,
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name begins with `.` or `_`, as that of files in progress, attempts and metadata of Spark and Hive.
    Hidden,
    /// Its name ends as that of a checksum, a signature or a file that is still being copied.
    NotALog,
    /// It is another name of a file that is read: a hard link, a symbolic link, or the same path given again.
    SameFile {
        /// The name under which it is read.
        read_as: PathBuf,
    },
    /// It has no rows.
    NoRows,
}

impl fmt::Display for SkippedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => formatter.write_str("its name begins with `.` or `_`"),
            Self::NotALog => formatter.write_str("a checksum, a signature or an unfinished copy"),
            Self::SameFile { read_as } => write!(formatter, "the same file as {}", read_as.display()),
            Self::NoRows => formatter.write_str("it has no rows"),
        }
    }
}

/// Ends of the names of files that accompany others, or that are not complete yet.
const OTHER_ENDINGS: [&str; 10] =
    [".crc", ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig", "._copying_", ".tmp", ".inprogress"];

/// Tells why a file or folder with this name is not a log, if its name says so. The rules are those of Spark and Hive,
/// where `_a=b` is a folder with a column.
pub(super) fn reason_of_name(name: &str) -> Option<SkipReason> {
    if name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) {
        return Some(SkipReason::Hidden);
    }
    let name = name.to_ascii_lowercase();
    OTHER_ENDINGS.iter().any(|ending| name.ends_with(ending)).then_some(SkipReason::NotALog)
}

/// Looks for a name that says "not a log" among the parts of `path` that `pattern` does not spell out. Returns the path
/// up to that part.
pub(super) fn skipped_part(path: &Path, pattern: &str) -> Option<SkippedFile> {
    let wanted: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let spelled_out = wanted.iter().take_while(|part| !part.contains(['*', '?', '['])).count();
    let has_any_depth = wanted.contains(&"**");
    let parts =
        path.components().filter(|part| !matches!(part, std::path::Component::RootDir | std::path::Component::CurDir));
    let parts: Vec<_> = parts.collect();
    let mut so_far = PathBuf::from(if path.is_absolute() { "/" } else { "" });
    for (index, part) in parts.iter().enumerate() {
        so_far.push(part);
        let name = part.as_os_str().to_string_lossy();
        let Some(reason) = reason_of_name(&name).filter(|_| index >= spelled_out) else { continue };
        // A pattern such as `_part-*` asks for such names.
        let asked_for = if has_any_depth && index + 1 < parts.len() { None } else { wanted.get(index) };
        let asked_for = if index + 1 == parts.len() { wanted.last() } else { asked_for };
        if reason == SkipReason::Hidden && asked_for.is_some_and(|part| part.starts_with(['.', '_'])) {
            continue;
        }
        return Some(SkippedFile { path: so_far, reason });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_spark_and_hive_skip_are_skipped_unless_the_pattern_spells_them_out() {
        let skipped = |pattern: &str, path: &str| {
            skipped_part(Path::new(path), pattern).map(|skipped| skipped.path.display().to_string())
        };
        let cases = [
            ("a/**/*.csv", "a/_temporary/0/x.csv", Some("a/_temporary")),
            ("a/*.csv", "a/.x.csv", Some("a/.x.csv")),
            ("./a/*.csv", "a/_x.csv", Some("a/_x.csv")),
            ("/_a/*.csv", "/_a/x.csv", None),
            ("_a/.b/*.csv", "_a/.b/x.csv", None),
            ("a/_x*.csv", "a/_x1.csv", None),
            ("a/_*/*.csv", "a/_b/x.csv", None),
            ("a/*/*.csv", "a/_b=c/x.csv", None),
            ("a/*", "a/x.csv.crc", Some("a/x.csv.crc")),
            ("a/*", "a/x.csv._COPYING_", Some("a/x.csv._COPYING_")),
            ("a/*", "a/x.csv", None),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(skipped(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }
}
