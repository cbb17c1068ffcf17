//! Reads the constants of a Java interface, for tests that compare them with those of this crate.

use std::collections::BTreeMap;
use std::path::Path;

/// Returns each `int` of an interface in `jvm-bindings/core`, by name.
pub(super) fn java_constants(class: &str) -> BTreeMap<String, usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jvm-bindings/core/src/main/java/io/omomi");
    let source = std::fs::read_to_string(folder.join(class)).unwrap();
    let constants =
        source.lines().filter_map(|line| line.trim().strip_prefix("int ")?.strip_suffix(';')?.split_once(" = "));
    constants.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}
