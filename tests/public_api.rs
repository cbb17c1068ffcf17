//! The public Rust API of `omomi` and `omomi-train` is the committed one: `tests/public-api/*.txt`, one line for each
//! item, made from the source files. What is `#[doc(hidden)]` is not API.
//!
//! `OMOMI_BLESS=1 cargo test --test public_api` writes the lists again.

#[path = "public-api/lines.rs"]
mod lines;
#[path = "public-api/source.rs"]
mod source;

use std::path::{Path, PathBuf};

use source::Source;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the API of a crate with `tests/public-api/LIST.txt`, or writes that file where `OMOMI_BLESS` is set.
fn compare(list: &str, found: &[String]) {
    let path = root().join("tests/public-api").join(list).with_extension("txt");
    if std::env::var_os("OMOMI_BLESS").is_some() {
        std::fs::write(&path, found.join("\n") + "\n").unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let committed: Vec<&str> = committed.lines().collect();
    let removed = committed.iter().filter(|line| !found.iter().any(|found| found == *line));
    let added = found.iter().filter(|line| !committed.contains(&line.as_str()));
    let differences: Vec<String> =
        removed.map(|line| format!("- {line}")).chain(added.map(|line| format!("+ {line}"))).collect();
    assert!(
        differences.is_empty() && committed == found,
        "the public API differs from tests/public-api/{list}.txt:\n{}\nif you mean it, run \
         `OMOMI_BLESS=1 cargo test --test public_api`, and write a line in CHANGELOG.md",
        differences.join("\n")
    );
}

#[test]
fn the_api_of_omomi_is_the_committed_one() {
    let mut found = lines::lines(&Source::read("omomi", &root().join("src/lib.rs")));
    // A macro makes the variants of `Code`, which the sources do not show. They go behind the enum.
    let place = found.iter().position(|line| line.contains("pub enum omomi::error::Code ")).unwrap() + 1;
    let codes = omomi::Code::ALL.iter().map(|&code| format!("omomi::error::Code::{code:?} = {}", code as i32));
    found.splice(place..place, codes);
    compare("omomi", &found);
}

#[test]
fn the_api_of_omomi_train_is_the_committed_one() {
    compare("omomi-train", &lines::lines(&Source::read("omomi_train", &root().join("crates/omomi-train/src/lib.rs"))));
}

/// Writes the files of a crate, and returns its lines.
fn lines_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    lines::lines(&Source::read("ads", &folder.path().join("lib.rs")))
}

#[test]
fn private_hidden_and_test_items_are_not_listed() {
    let found = lines_of(&[(
        "lib.rs",
        "struct Private; #[doc(hidden)] pub struct Hidden; #[cfg(test)] pub fn tested() {} pub(crate) fn inner() {}
         #[doc(hidden)] pub mod hidden { pub fn function() {} } mod private { pub fn function() {} }
         impl Private { pub fn new() -> Self { Self } } impl From<Private> for u8 { fn from(_: Private) -> u8 { 0 } }
         impl Hidden { pub fn new() -> Self { Self } }",
    )]);
    assert_eq!(found, ["pub mod ads"]);
}

#[test]
fn items_of_private_modules_are_listed_where_they_are_reexported() {
    let found = lines_of(&[
        ("lib.rs", "mod bid; pub mod price; pub use bid::*; pub use price::Price; pub use std::time::Duration;"),
        ("bid.rs", "use crate::price::Price; pub struct Bid { pub price: Price, rank: u32 }"),
        ("price/mod.rs", "mod amount; pub use amount::Price; pub use amount::Price as Cost;"),
        (
            "price/amount.rs",
            "use super::super::bid::Bid; #[derive(Debug, Clone)] pub struct Price(pub u64, u8);
             impl From<Bid> for Price { fn from(bid: Bid) -> Self { bid.price } }
             impl Bid { pub fn raise(&mut self, mut by: Price) -> Result<(), Price> { Ok(()) } }",
        ),
    ]);
    let expected = [
        "pub mod ads",
        "pub struct ads::Bid { private fields }",
        "pub ads::Bid::price: Price",
        "pub fn ads::Bid::raise(&mut self, by: Price) -> Result<(), Price>",
        "pub use std::time::Duration as ads::Duration",
        "pub use ads::price::Price as ads::Price",
        "pub mod ads::price",
        "pub use ads::price::Price as ads::price::Cost",
        "impl From<Bid> for ads::price::Price",
        "pub struct ads::price::Price(pub u64, _) derives Clone, Debug",
    ];
    assert_eq!(found, expected);
}

#[test]
fn enums_traits_constants_and_generics_are_listed_with_their_members() {
    let found = lines_of(&[(
        "lib.rs",
        "#[non_exhaustive] pub enum Kind<T> { Id(T), Text { len: u32 }, #[doc(hidden)] Other }
         pub trait Rank: Send { const BEST: u32; type Key; fn rank(&self) -> u32; fn is_best(&self) -> bool { true } }
         impl<T: Send> Rank for Kind<T> { const BEST: u32 = 1; type Key = T; fn rank(&self) -> u32 { 1 } }
         pub const LIMIT: u32 = 5; pub const MASK: u32 = LIMIT - 1;
         pub fn pick<'a, R>(first_argument_with_a_long_name: &'a R, second_argument_with_a_long_name: &'a R) -> Option<&'a R>
         where R: Rank { None }",
    )]);
    let expected = [
        "pub mod ads",
        "#[non_exhaustive] pub enum ads::Kind<T>",
        "impl<T: Send> Rank for ads::Kind<T> { type Key = T; }",
        "ads::Kind::Id(T)",
        "ads::Kind::Text { len: u32 }",
        "pub const ads::LIMIT: u32 = 5",
        "pub const ads::MASK: u32",
        "pub trait ads::Rank: Send",
        "const ads::Rank::BEST: u32",
        "type ads::Rank::Key",
        "fn ads::Rank::is_best(&self) -> bool { provided }",
        "fn ads::Rank::rank(&self) -> u32",
        "pub fn ads::pick<'a, R>(first_argument_with_a_long_name: &'a R, second_argument_with_a_long_name: &'a R) \
         -> Option<&'a R> where R: Rank",
    ];
    assert_eq!(found, expected);
}
