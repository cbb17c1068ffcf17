//! The objects of a listing as a tree of folders, so that patterns and folders mean what they mean on a disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

use crate::bucket::{Address, Listed};

/// Objects and the folders that they are in, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    /// An object of so many bytes.
    Object(u64),
}

impl Tree {
    /// Builds the tree of the objects below `address`.
    pub(super) fn of(address: &Address, listed: Vec<Listed>) -> Self {
        let mut nodes = BTreeMap::new();
        for Listed { name, len_bytes } in listed {
            let mut folder = name.as_str();
            while let Some((outer, _)) = folder.rsplit_once('/') {
                nodes.insert(PathBuf::from(address.join(outer).to_string()), Node::Folder);
                folder = outer;
            }
            // An empty object with the name of a folder is what some tools make for an empty folder.
            nodes.entry(address.join(&name).to_string().into()).or_insert(Node::Object(len_bytes));
        }
        Self(nodes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of an object, or nothing for a folder.
    pub(super) fn len_of(&self, path: &Path) -> Option<u64> {
        match self.0.get(path) {
            Some(Node::Object(len_bytes)) => Some(*len_bytes),
            _ => None,
        }
    }

    /// What is in a folder, but not in a folder of it.
    pub(super) fn entries(&self, folder: &Path) -> Vec<PathBuf> {
        self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect()
    }

    /// The pattern that an address is. A pattern that ends in `**` matches what is in folders, too.
    pub(super) fn pattern(address: &Address) -> Result<Pattern, PatternError> {
        let key = address.key();
        let ends_deep = key == "**" || key.ends_with("/**");
        Pattern::new(&if ends_deep { format!("{key}/*") } else { key.to_owned() })
    }

    /// Objects and folders whose keys match a pattern.
    pub(super) fn matching(&self, pattern: &Pattern) -> Vec<PathBuf> {
        let options =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        let key = |path: &&PathBuf| {
            let text = path.to_str()?;
            text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, key)| key.to_owned())
        };
        let is_match = |path: &&PathBuf| key(path).is_some_and(|key| pattern.matches_with(&key, options));
        self.0.keys().filter(is_match).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use omomi::error::Owner;

    use super::*;
    use crate::bucket::made_up::{Fault, Service};
    use crate::bucket::{BucketError, Place, take_for_opened};
    use crate::log::generate::{CONTRACT, LogSpec, WriteOptions, write};
    use crate::log::{LogError, LogReader, ReadOptions};

    fn address(text: &str) -> Address {
        match Place::parse(text).unwrap() {
            Place::Bucket(address) => address,
            Place::Disk(path) => panic!("{} is a path", path.display()),
        }
    }

    fn tree(names: &[&str]) -> Tree {
        let listed = |(index, name): (usize, &&str)| Listed { name: (*name).to_owned(), len_bytes: index as u64 };
        Tree::of(&address("s3://ads/logs"), names.iter().enumerate().map(listed).collect())
    }

    #[test]
    fn a_pattern_matches_what_it_matches_on_a_disk() {
        let tree = tree(&["a.csv", "dt=1/a.csv", "dt=1/deep/b.csv", "dt=2/c.tsv"]);
        for (pattern, expected) in [
            ("*.csv", vec!["a.csv"]),
            ("*/*.csv", vec!["dt=1/a.csv"]),
            ("**/*.csv", vec!["a.csv", "dt=1/a.csv", "dt=1/deep/b.csv"]),
            ("dt=?", vec!["dt=1", "dt=2"]),
            ("dt=[2-9]/*", vec!["dt=2/c.tsv"]),
            ("dt=1/**", vec!["dt=1/a.csv", "dt=1/deep", "dt=1/deep/b.csv"]),
        ] {
            let pattern = Tree::pattern(&address(&format!("s3://ads/logs/{pattern}"))).unwrap();
            let expected: Vec<PathBuf> =
                expected.into_iter().map(|name| format!("s3://ads/logs/{name}").into()).collect();
            assert_eq!(tree.matching(&pattern), expected, "{pattern}");
        }
        assert_eq!(address("s3://ads/logs/dt=*/a.csv").literal_folder(), address("s3://ads/logs"));
        assert_eq!(address("s3://ads/l*/a.csv").literal_folder(), address("s3://ads"));
    }

    #[test]
    fn an_empty_object_that_marks_a_folder_is_no_file() {
        let tree = tree(&["dt=1", "dt=1/a.csv"]);
        assert_eq!(tree.len_of(Path::new("s3://ads/logs/dt=1")), None);
        assert_eq!(tree.entries(Path::new("s3://ads/logs")), [PathBuf::from("s3://ads/logs/dt=1")]);
    }

    /// Reads all rows, and returns how many there are and the sum of their labels.
    fn rows(patterns: &[String]) -> Result<(usize, usize), LogError> {
        let contract = crate::toml::parse_contract(CONTRACT).unwrap();
        let mut reader = LogReader::open(&contract, patterns, ReadOptions::default())?;
        let mut found = (0, 0);
        while let Some(batch) = reader.next_batch()? {
            found.0 += batch.row_count();
            found.1 += batch.clicked.iter().filter(|&&clicked| clicked).count();
        }
        Ok(found)
    }

    #[test]
    fn a_log_in_a_bucket_is_read_whole_or_fails_with_the_error_of_the_bucket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let spec = LogSpec { rows: 20_000, seed: 1, click_rate: 0.1 };
        write(&spec, std::slice::from_ref(&path), WriteOptions::default(), &mut |_| ()).unwrap();
        let expected = rows(&[path.display().to_string()]).unwrap();
        let service = Service::default();
        let at = address("s3://failing-logs/logs");
        let bytes = std::fs::read(&path).unwrap();
        service.bucket(Fault::None).at(&at).create("a.parquet", bytes.into()).unwrap();
        let mut failure_count = 0;
        for request in 0.. {
            take_for_opened(&at, service.bucket(Fault::FailsFrom(request)));
            match rows(&["s3://failing-logs/logs".to_owned()]) {
                Ok(found) => {
                    assert_eq!(found, expected);
                    break;
                }
                Err(error) => {
                    failure_count += 1;
                    let of_bucket = BucketError::within(&error);
                    assert!(of_bucket.is_some_and(BucketError::is_temporary), "request {request}: {error:?}");
                    assert_eq!(error.owner(), Owner::Infra);
                }
            }
        }
        assert!(failure_count > 4, "{failure_count}");
    }
}
