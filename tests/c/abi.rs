//! The C ABI is the committed one, `tests/c/abi/current.txt`: a line for each function, struct and constant.
//! The lists of released versions are beside it. While the ABI version is theirs, programs that were compiled with them
//! run with the library of today.
//!
//! `OMOMI_BLESS=1 cargo test --test c abi` writes the current list again.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/abi")
}

/// Returns the text without comments, and without lines for the preprocessor.
fn code_of(header: &str) -> String {
    let mut code = String::new();
    let mut rest = header;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        rest = rest[start..].split_once("*/").map_or("", |(_, rest)| rest);
    }
    code.push_str(rest);
    let mut is_continued = false;
    let mut lines = Vec::new();
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or("").trim();
        let is_directive = is_continued || line.starts_with('#');
        is_continued = is_directive && line.ends_with('\\');
        if !is_directive && line != "extern \"C\" {" {
            lines.push(line);
        }
    }
    lines.join(" ")
}

/// Returns the statements at the top level, each in one line: declarations without the bodies of functions.
fn statements(header: &str) -> Vec<String> {
    let (mut found, mut statement, mut depth) = (Vec::new(), String::new(), 0_u32);
    for character in code_of(header).chars() {
        match character {
            '{' => depth += 1,
            // The end of `extern "C"`.
            '}' if depth == 0 => continue,
            '}' => depth -= 1,
            _ => {}
        }
        let is_body = statement.contains("static inline");
        if depth == 0 && (character == ';' || (character == '}' && is_body)) {
            let declaration = if is_body { statement.split('{').next().unwrap_or("") } else { &statement };
            found.push(declaration.split_whitespace().collect::<Vec<_>>().join(" "));
            statement.clear();
        } else {
            statement.push(character);
        }
    }
    found
}

/// Returns a line for each function, struct, other type and constant of a header, sorted.
fn abi_of(header: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for statement in statements(header) {
        if statement.contains("omomi_internal_") {
            continue;
        }
        if let Some(constants) = statement.strip_prefix("enum { ").and_then(|rest| rest.strip_suffix('}')) {
            lines
                .extend(constants.split(',').map(|it| format!("constant {}", it.trim())).filter(|it| it.contains('=')));
        } else {
            lines.push(statement.trim_start_matches("OMOMI_MUST_USE ").to_owned());
        }
    }
    let constants = header.lines().filter_map(|line| line.strip_prefix("#define OMOMI_"));
    lines.extend(constants.filter(|it| it.contains(' ') && is_constant(it)).map(|it| format!("constant OMOMI_{it}")));
    lines.sort();
    lines.dedup();
    lines
}

/// Whether a definition is a number that callers may keep: not a macro, not a version.
fn is_constant(definition: &str) -> bool {
    let (name, value) = definition.split_once(' ').unwrap_or_default();
    !name.contains('(') && !name.contains("VERSION") && value.starts_with(|first: char| first.is_ascii_digit())
}

/// Returns what of `old` a program can no longer rely on. A struct that begins with its size may have more members, and
/// everything else stays as it is.
fn broken<'a>(old: &[&'a str], new: &[&str]) -> Vec<&'a str> {
    let stays = |line: &str| {
        let grown = line.split_once("; } ").filter(|(members, _)| members.contains("{ size_t size_bytes"));
        new.contains(&line)
            || grown.is_some_and(|(members, name)| {
                let end = format!("; }} {name}");
                new.iter().any(|new| {
                    new.strip_prefix(members).is_some_and(|rest| rest.starts_with("; ") && rest.ends_with(&end))
                })
            })
    };
    old.iter().copied().filter(|line| !stays(line)).collect()
}

fn header() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/omomi.h")).unwrap()
}

#[test]
fn the_abi_is_the_committed_one() {
    let found = abi_of(&header());
    assert!(found.iter().filter(|line| line.contains("omomi_")).count() > 100, "{found:#?}");
    assert!(found.contains(&"static inline OmomiText omomi_c_text(const char *text)".to_owned()), "{found:#?}");
    let path = folder().join("current.txt");
    if std::env::var_os("OMOMI_BLESS").is_some() {
        std::fs::write(&path, found.join("\n") + "\n").unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let committed: Vec<&str> = committed.lines().collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let removed: Vec<_> = committed.iter().filter(|line| !found.contains(line)).collect();
    let added: Vec<_> = found.iter().filter(|line| !committed.contains(line)).collect();
    assert!(
        committed == found,
        "the C ABI differs from tests/c/abi/current.txt: removed {removed:#?}, added {added:#?}; if you mean it, run \
         `OMOMI_BLESS=1 cargo test --test c abi`"
    );
}

#[test]
fn programs_of_released_versions_run_with_the_library_of_today() {
    let found = abi_of(&header());
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let old = std::fs::read_to_string(&path).unwrap();
        let old: Vec<&str> = old.lines().collect();
        let broken = broken(&old, &found);
        assert!(
            broken.is_empty(),
            "programs compiled with {} break: {broken:#?}; keep these, or raise OMOMI_ABI_VERSION and the soname, write \
             upgrade notes, and delete that list",
            path.display()
        );
    }
}

#[test]
fn what_breaks_a_program_is_found() {
    let old = "typedef struct { size_t size_bytes; int32_t a; } OmomiGrows;\n\
               typedef struct { int32_t a; } OmomiFixed;\n\
               enum {\n  OMOMI_ONE = 1, // of two\n  OMOMI_TWO = 2,\n};\n\
               #define OMOMI_ALL 18\n\
               int32_t omomi_call(OmomiFixed it,\n                   size_t count);\n\
               static inline int32_t omomi_short(void) { if (1) { return 1; } return 0; }\n";
    let lines = abi_of(old);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(lines.len(), 7, "{lines:#?}");
    let broken_by = |from: &str, to: &str| {
        let new = old.replace(from, to);
        assert_ne!(new, old);
        let new = abi_of(&new);
        broken(&lines, &new.iter().map(String::as_str).collect::<Vec<_>>()).len()
    };
    assert_eq!(broken_by("int32_t a; } OmomiGrows", "int32_t a; double b; } OmomiGrows"), 0);
    assert_eq!(broken_by("int32_t a; } OmomiGrows", "double b; int32_t a; } OmomiGrows"), 1);
    assert_eq!(broken_by("int32_t a; } OmomiFixed", "int32_t a; double b; } OmomiFixed"), 1);
    assert_eq!(broken_by("OMOMI_TWO = 2", "OMOMI_TWO = 3"), 1);
    assert_eq!(broken_by("OMOMI_TWO = 2,", "OMOMI_TWO = 2,\n  OMOMI_THREE = 3,"), 0);
    assert_eq!(broken_by("OMOMI_ALL 18", "OMOMI_ALL 19"), 1);
    assert_eq!(broken_by("size_t count", "uint32_t count"), 1);
    assert_eq!(broken_by("omomi_short(void)", "omomi_short(int a)"), 1);
    assert_eq!(broken_by("return 1", "return 2"), 0);
}
