//! Checks that `src/ERRORS.md` lists every code with its messages, which come from `src/error.rs`.
//!
//! `OMOMI_BLESS=1 cargo test --test error_page` writes the list again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use omomi::Code;

/// The heading above the list. Text before it is not generated.
const HEADING: &str = "## Every code\n";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
}

/// Returns the messages of the variants of `Error`, by the variant's name, with the names of their parameters.
fn messages(source: &str) -> BTreeMap<String, String> {
    let body = source.split_once("pub enum Error {").unwrap().1.split_once("\n}\n").unwrap().0;
    let entries = body.split("#[error(").skip(1);
    entries
        .map(|entry| {
            let (literal, rest) = entry.split_once(")]").unwrap();
            let message = literal.trim().trim_matches('"').replace("\\\"", "\"");
            let variant: String = rest.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
            (variant, without_formats(&message))
        })
        .collect()
}

/// Replaces `{found:#010x}` by `{found}`: the page does not show how a value is formatted.
fn without_formats(message: &str) -> String {
    let mut parts = message.split('{');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (inside, behind) = part.split_once('}').unwrap();
        write!(text, "{{{}}}{behind}", inside.split(':').next().unwrap()).unwrap();
    }
    text
}

/// Returns the variants of each code, as `Error::code` maps them.
fn variants_by_code(source: &str) -> BTreeMap<String, Vec<String>> {
    let body = source.split_once("pub const fn code(&self) -> Code {").unwrap().1.split_once("\n    }\n").unwrap().0;
    let mut variants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for arm in body.split("Self::").skip(1).collect::<Vec<_>>().join("Self::").split_inclusive(',') {
        let Some((patterns, code)) = arm.split_once("=> Code::") else { continue };
        let names = patterns.split("Self::").flat_map(|part| part.split('|')).map(str::trim);
        let names = names.map(|name| name.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
        let code = code.trim_end_matches(',').to_owned();
        variants.entry(code).or_default().extend(names.filter(|name| !name.is_empty()));
    }
    variants
}

fn made() -> String {
    let source = fs::read_to_string(path("error.rs")).unwrap();
    let (mut messages, variants) = (messages(&source), variants_by_code(&source));
    let mut text = String::from("\n| code | name | message | owner | action |\n| --- | --- | --- | --- | --- |\n");
    for &code in Code::ALL {
        let own = variants.get(&format!("{code:?}")).into_iter().flatten();
        let own: Vec<String> = own.map(|variant| messages.remove(variant).unwrap()).collect();
        // The only code that Java alone raises.
        assert_eq!(own.is_empty(), code == Code::LibraryNotLoaded, "{code:?}");
        let message = if own.is_empty() { "(the JVM's own)".to_owned() } else { own.join("<br>") };
        assert!(!message.contains('|'), "{message}");
        let (number, name, owner, action) = (code as i32, code.name(), code.owner().word(), code.action());
        writeln!(text, "| {number} | `{name}` | {message} | {owner} | {action} |").unwrap();
    }
    // It has the code of the setter that refused a value, so the page explains it above the list.
    assert!(messages.remove("ValueRefused").is_some());
    assert!(messages.is_empty(), "messages without a code: {messages:?}");
    text
}

#[test]
fn the_page_lists_every_code_with_its_messages_owner_and_action() {
    let page = fs::read_to_string(path("ERRORS.md")).unwrap();
    let (above, listed) = page.split_once(HEADING).unwrap();
    let made = made();
    if std::env::var_os("OMOMI_BLESS").is_some() {
        fs::write(path("ERRORS.md"), format!("{above}{HEADING}{made}")).unwrap();
        return;
    }
    for (listed, made) in listed.lines().zip(made.lines()) {
        assert_eq!(listed, made, "src/ERRORS.md is stale; run `OMOMI_BLESS=1 cargo test --test error_page`");
    }
    assert_eq!(listed, made);
}

/// Checks the text above the list, which explains where the codes occur.
#[test]
fn every_code_that_the_page_mentions_exists() {
    let page = fs::read_to_string(path("ERRORS.md")).unwrap();
    let above = page.split_once(HEADING).unwrap().0;
    let spoken: Vec<&str> = above.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
    assert!(spoken.len() > 10);
    for word in spoken {
        assert!(Code::ALL.iter().any(|code| code.name() == word), "there is no code `{word}`");
    }
}
