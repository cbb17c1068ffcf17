//! Every page, manifest and POM names the version of this crate, and `.ci/version` notices each one that does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Pages that keep the versions that were.
const HISTORY: [(&str, &str); 3] = [
    ("CHANGELOG.md", "has a section for each version"),
    ("docs/compatibility.md", "says since when a promise holds"),
    ("docs/upgrading.md", "has a section for each version"),
];

/// Runs `.ci/version`. Returns whether it succeeded, and what it printed; nothing where there is no Python.
fn version(words: &[&str], root: &Path) -> Option<(bool, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/version");
    let Ok(output) = Command::new("python3").arg(script).args(words).arg("--root").arg(root).output() else {
        eprintln!("SKIPPED: there is no python3 on the path to run .ci/version with");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn every_file_names_the_version_of_this_crate() {
    let Some((good, said)) = version(&["--check"], Path::new(env!("CARGO_MANIFEST_DIR"))) else { return };
    assert!(good && said.trim_end() == VERSION, "{said}");
}

#[test]
fn a_forgotten_place_is_noticed_and_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some((_, listed)) = version(&[], root) else { return };
    let places: BTreeSet<&str> = listed.lines().filter(|line| line.contains(':')).collect();
    let files: BTreeSet<&str> = places.iter().filter_map(|place| place.split(':').next()).collect();
    for known in
        ["Cargo.toml", "README.md", "docs/release.md", "docs/serving.md", "jvm-bindings/README.md", "include/omomi.h"]
    {
        assert!(files.contains(known), "{listed}");
    }
    assert!(files.iter().filter(|file| file.ends_with("pom.xml")).count() >= 8, "{listed}");

    let copy = tempfile::tempdir().unwrap();
    let pages = pages(root);
    assert!(pages.len() > 30, "{pages:?}");
    for file in pages.iter().map(String::as_str).chain(files.iter().copied()) {
        let target = copy.path().join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(root.join(file), target).unwrap();
    }
    let check = || version(&["--check"], copy.path()).unwrap();
    assert!(check().0, "{}", check().1);
    let series = VERSION.rsplit_once('.').unwrap().0;
    for place in places.iter().filter(|place| **place != workspace_version(root)) {
        let (file, line) = place.split_once(':').unwrap();
        let text = fs::read_to_string(root.join(file)).unwrap();
        let number: usize = line.parse().unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = &mut lines[number - 1];
        // CMake is asked for the first two numbers.
        // The C header has each number by itself.
        *line = if line.contains(VERSION) {
            line.replace(VERSION, "9.8.7")
        } else if line.contains(series) {
            line.replace(series, "9.8")
        } else {
            let number = line.trim_end_matches(';').rsplit(' ').next().unwrap();
            line.replace(&format!(" {number}"), " 987")
        };
        fs::write(copy.path().join(file), lines.join("\n") + "\n").unwrap();
        let (good, said) = check();
        assert!(!good && said.contains(&format!("{place}: expected ")), "{place}: {said}");
        fs::write(copy.path().join(file), text).unwrap();
    }

    assert!(version(&["9.8.7"], copy.path()).unwrap().0);
    let (good, said) = check();
    assert!(good && said.trim_end() == "9.8.7", "{said}");
    // This does not depend on what `.ci/version` takes for a place.
    for page in pages.iter().filter(|page| HISTORY.iter().all(|(history, _)| history != page)) {
        let text = fs::read_to_string(copy.path().join(page)).unwrap();
        let left = text.lines().find(|line| names(line, VERSION));
        assert_eq!(left, None, "{page} still names {VERSION} after `.ci/version 9.8.7`");
    }

    fs::write(copy.path().join("code.rs"), "const JAR: &str = \"omomi-9.8.7.jar\";\n").unwrap();
    let (good, said) = check();
    assert!(!good && said.contains("code.rs:1: code must not name the version"), "{said}");
    assert!(!version(&["9.8"], copy.path()).unwrap().0);
}

/// The pages, manifests and POMs below `root`, as paths from there.
fn pages(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !path.is_symlink() {
                // Builds, the repository, and stored files of earlier versions.
                if !["target", ".git", "upgrade"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if [".md", ".toml", ".xml", ".sbt"].iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// Whether a line names the version, and not one of which it is a part, such as 1.0.2.0.
fn names(line: &str, version: &str) -> bool {
    line.match_indices(version).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let mut after = line[at + version.len()..].chars();
        let (next, second) = (after.next(), after.next());
        let digit = |character: Option<char>| character.is_some_and(|it| it.is_ascii_digit());
        !(digit(before) || before == Some('.') || digit(next) || next == Some('.') && digit(second))
    })
}

/// The place that the others are compared with.
fn workspace_version(root: &Path) -> String {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let line = manifest.lines().position(|line| line == format!("version = \"{VERSION}\"")).unwrap();
    format!("Cargo.toml:{}", line + 1)
}
