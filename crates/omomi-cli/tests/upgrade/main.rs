//! Files of one version in the hands of another. Each version's files are stored in `tests/upgrade/VERSION`, with the
//! answers that it gave: the current version must give the same answers from them, or refuse them by name.
//!
//! `.ci/upgrade` builds an earlier version and names its two programs by `OMOMI_OTHER_VERSION`: then both versions read
//! what the other one writes. `OMOMI_BLESS=1` stores the files of a version that has none yet.

mod experiment;
mod files;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use files::{Version, read, write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            // A repository does not keep this.
            let is_sealed = to.ends_with("generations");
            let mut permissions = fs::metadata(&target).unwrap().permissions();
            permissions.set_readonly(is_sealed);
            fs::set_permissions(&target, permissions).unwrap();
        }
    }
}

/// Reads a copy of `folder`, and says what became of each file: `the same answers`, or the error that refused it.
fn outcomes(reader: &Version, folder: &Path) -> BTreeMap<&'static str, String> {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    read(reader, copy.path())
}

fn all_are_the_same(found: &BTreeMap<&'static str, String>) {
    let other: Vec<_> = found.iter().filter(|(_, outcome)| *outcome != files::SAME).collect();
    assert!(other.is_empty(), "{other:#?}");
}

#[test]
fn this_version_reads_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    write(&Version::This, folder.path());
    experiment::write(folder.path());
    let found = outcomes(&Version::This, folder.path());
    all_are_the_same(&found);
    assert!(found.contains_key(experiment::ANSWERS), "{found:#?}");
    let place = stored().join(VERSION);
    if std::env::var_os("OMOMI_BLESS").is_some() && !place.exists() {
        copy_folder(folder.path(), &place);
    }
    assert!(place.exists(), "no files of version {VERSION} are stored; run this test once with OMOMI_BLESS=1");
}

#[test]
fn this_version_reads_the_stored_files_of_every_version() {
    let mut versions = 0;
    for entry in fs::read_dir(stored()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            println!("files of {}", path.file_name().unwrap().display());
            let found = outcomes(&Version::This, &path);
            all_are_the_same(&found);
            assert!(path.ends_with("0.1.0") || found.contains_key(experiment::ANSWERS), "{found:#?}");
            versions += 1;
        }
    }
    assert!(versions > 0);
}

#[test]
fn two_versions_read_what_the_other_one_writes() {
    let Some(programs) = std::env::var_os("OMOMI_OTHER_VERSION") else {
        println!("skipped: `.ci/upgrade` builds an earlier version, and runs this test with it");
        return;
    };
    let other = Version::Other(programs.into());
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
    write(&Version::This, &ours);
    experiment::write(&ours);
    write(&other, &theirs);
    let (forward, backward) = (outcomes(&Version::This, &theirs), outcomes(&other, &ours));
    println!(
        "{:<30} | {:<60} | {VERSION} in the earlier version",
        "file",
        format!("of the earlier version in {VERSION}")
    );
    for name in forward.keys().chain(backward.keys()).collect::<BTreeSet<_>>() {
        let of = |outcomes: &BTreeMap<_, String>| outcomes.get(name).map_or("not there", String::as_str).to_owned();
        println!("{name:<30} | {:<60} | {}", of(&forward), of(&backward));
    }
    all_are_the_same(&forward);
    let refused: Vec<_> = backward.iter().filter(|(_, outcome)| *outcome != files::SAME).collect();
    let nameless: Vec<_> = refused.iter().filter(|(_, outcome)| !outcome.contains("version")).collect();
    assert!(
        nameless.is_empty(),
        "an earlier version may refuse a file of a later one, but must name the version: {nameless:#?}"
    );
}
