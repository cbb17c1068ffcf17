//! The public API of the Java classes is the committed list, `tests/public-api/java.txt`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compares the compiled classes with the committed list, or writes that where `OMOMI_BLESS` is set.
pub fn check(classes: &Path) {
    let found = members(&disassembled(classes));
    assert!(found.len() > 300, "{found:#?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public-api/java.txt");
    if std::env::var_os("OMOMI_BLESS").is_some() {
        std::fs::write(path, found.join("\n") + "\n").unwrap();
        return;
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let committed: Vec<&str> = committed.lines().collect();
    let removed: Vec<_> = committed.iter().filter(|line| !found.iter().any(|found| found == *line)).collect();
    let added: Vec<_> = found.iter().filter(|line| !committed.contains(&line.as_str())).collect();
    assert!(
        removed.is_empty() && added.is_empty(),
        "the Java API differs from tests/public-api/java.txt: removed {removed:#?}, added {added:#?}; if you mean it, run \
         `OMOMI_BLESS=1 cargo test --test jvm`, and write a line in CHANGELOG.md"
    );
}

/// Returns what `javap` says of the public members of all classes.
fn disassembled(classes: &Path) -> String {
    let package = classes.join("io/omomi");
    let names = std::fs::read_dir(&package).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|it| it == "class")).collect();
    names.sort();
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/javap"));
    let javap = home.filter(|path| path.exists()).unwrap_or_else(|| "javap".into());
    let output = Command::new(javap).arg("-public").args(&names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns a line for each public class, and for each public member of one.
fn members(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut class: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        if let Some(declaration) = line.strip_suffix(" {") {
            class = declaration.starts_with("public ").then_some(declaration);
            lines.extend(class.map(str::to_owned));
        } else if let (Some(class), Some(member)) = (class, line.strip_suffix(';')) {
            let name = class.split_whitespace().find(|word| word.starts_with("io.omomi.")).unwrap_or(class);
            let name = name.split('<').next().unwrap_or(name);
            lines.push(format!("{name}: {member}"));
        }
    }
    lines.sort();
    lines
}

#[test]
fn members_of_public_classes_are_listed() {
    let text = "Compiled from \"A.java\"\npublic final class io.omomi.A<T> extends java.lang.Object {\n  public int b();\n}\n\
                Compiled from \"C.java\"\nclass io.omomi.C {\n  public int d();\n}\n";
    let expected = ["io.omomi.A: public int b()", "public final class io.omomi.A<T> extends java.lang.Object"];
    assert_eq!(members(text), expected);
}
