//! No dependency points upward. Each library lists its layers once, in the documentation of its `lib.rs`, and a module
//! uses only modules that are named before it. Below the top, modules of one folder never import each other in a
//! circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module by its path from the root of its crate, such as `["score", "kernel"]`; the root itself is empty.
type Module = Vec<String>;

/// The code of a crate: its modules, and which other modules each uses.
struct Crate {
    uses: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    fn read(source_folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(source_folder);
        let mut texts = BTreeMap::new();
        read_folder(&root, &mut Module::new(), &mut texts);
        let modules: BTreeSet<Module> = texts.keys().cloned().collect();
        let uses = texts.iter().map(|(module, text)| {
            let used = paths(text).into_iter().filter_map(|path| resolve(module, &path, &modules)).collect();
            (module.clone(), used)
        });
        Self { uses: uses.collect() }
    }

    /// What uses what among the children of `folder`: pairs of names, with one module that shows it.
    fn edges(&self, folder: &[String]) -> BTreeMap<(String, String), String> {
        let mut edges = BTreeMap::new();
        for (module, used) in &self.uses {
            for other in used {
                if let (Some(one), Some(two)) = (child(folder, module), child(folder, other))
                    && one != two
                {
                    edges.insert((one.to_owned(), two.to_owned()), module.join("::"));
                }
            }
        }
        edges
    }

    fn folders(&self) -> BTreeSet<Module> {
        self.uses.keys().flat_map(|module| (0..module.len()).map(|len| module[..len].to_vec())).collect()
    }
}

/// The child of `folder` in which `module` is, or which it is.
fn child<'a>(folder: &[String], module: &'a Module) -> Option<&'a str> {
    module.strip_prefix(folder)?.first().map(String::as_str)
}

fn read_folder(folder: &Path, module: &mut Module, texts: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // What only tests use says nothing of the layers.
        if name.ends_with("tests") || name.starts_with("test_") || name == "work_counter" {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            read_folder(&path, module, texts);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut own = module.clone();
            if !["mod", "lib", "main"].contains(&name.as_str()) {
                own.push(name);
            }
            texts.insert(own, code(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The text without comments and without what follows the line that begins its unit tests.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate`, `super` or `self`, lists in braces taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (position, _) in code.match_indices(start) {
            let before = code[..position].chars().next_back();
            if before.is_none_or(|before| !(before.is_alphanumeric() || before == '_' || before == ':')) {
                tree(&code[position..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path or list of paths at the front of `text` and returns the rest.
fn tree<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, prefix, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return rest;
    }
    prefix.push(word.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(rest) => tree(rest, prefix, found),
        None => {
            found.push(prefix.clone());
            rest
        }
    };
    prefix.pop();
    // A new name: `as short`.
    rest.trim_start()
        .strip_prefix("as ")
        .map_or(rest, |renamed| renamed.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_'))
}

/// The deepest module that a path written in `from` names.
fn resolve(from: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut at = from.clone();
    let mut names = path.iter().peekable();
    if names.next_if(|name| *name == "crate").is_some() {
        at.clear();
    }
    while let Some(name) = names.next_if(|name| ["super", "self"].contains(&name.as_str())) {
        if name == "super" {
            at.pop()?;
        }
    }
    for name in names {
        at.push(name.clone());
        if !modules.contains(&at) {
            at.pop();
            break;
        }
    }
    (at != *from).then_some(at)
}

/// Returns the layers of a library, from low to high: the block in the documentation of its `lib.rs` that begins with
/// `layers`.
fn layers(source_folder: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source_folder).join("lib.rs");
    let text = fs::read_to_string(path).unwrap();
    let block = text.split("```text\n//! layers").nth(1).expect("`lib.rs` has a block of layers");
    let block = block.split("```").next().unwrap();
    let lines = block.lines().skip(1).map(|line| line.trim_start_matches("//!"));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Says which uses among `edges` point upward in `order`, or name a module that has no place in it.
fn upward(edges: &BTreeMap<(String, String), String>, order: &[String]) -> Vec<String> {
    let rank = |name: &String| order.iter().position(|layer| layer == name);
    let wrong = edges
        .iter()
        .filter(|((user, used), _)| rank(user).is_none_or(|user| rank(used).is_none_or(|used| used > user)));
    wrong.map(|((user, used), module)| format!("{user} uses {used} (in {module}), which is above it")).collect()
}

/// Modules of one folder that import each other, directly or by way of others.
fn circles(edges: &BTreeMap<(String, String), String>) -> Vec<String> {
    let mut reach: BTreeSet<(String, String)> = edges.keys().cloned().collect();
    loop {
        let steps = reach.iter().flat_map(|(one, two)| {
            let onward = edges.keys().filter(move |(from, _)| from == two);
            onward.map(move |(_, to)| (one.clone(), to.clone()))
        });
        let more: Vec<_> = steps.filter(|step| !reach.contains(step)).collect();
        if more.is_empty() {
            break;
        }
        reach.extend(more);
    }
    let in_circle = edges.iter().filter(|((one, two), _)| reach.contains(&(two.clone(), one.clone())));
    in_circle.map(|((one, two), module)| format!("{one} uses {two} (in {module}), and {two} uses {one}")).collect()
}

#[test]
fn no_module_of_a_library_uses_one_above_it() {
    for source_folder in ["src", "crates/omomi-train/src"] {
        let wrong = upward(&Crate::read(source_folder).edges(&[]), &layers(source_folder));
        assert!(wrong.is_empty(), "{source_folder}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn modules_of_one_folder_do_not_import_each_other() {
    let mut wrong = Vec::new();
    for source_folder in ["src", "crates/omomi-train/src", "crates/omomi-cli/src"] {
        let code = Crate::read(source_folder);
        for folder in code.folders() {
            let place = format!("{source_folder}/{}", folder.join("/"));
            wrong.extend(circles(&code.edges(&folder)).into_iter().map(|circle| format!("{place}: {circle}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_upward_use_and_a_circle_are_found() {
    let modules: BTreeSet<Module> = ["error", "store", "score"].map(|name| vec![name.to_owned()]).into();
    let text = "use crate::{\n    store::{Current, Digest as Sum},\n    error::Error,\n};\nlet x = super::score::Model::open();";
    let used: BTreeSet<Module> =
        paths(&code(text)).iter().filter_map(|path| resolve(&vec!["error".to_owned()], path, &modules)).collect();
    assert_eq!(used, ["store", "score"].map(|name| vec![name.to_owned()]).into());
    let edge = |one: &str, two: &str| ((one.to_owned(), two.to_owned()), one.to_owned());
    let edges = BTreeMap::from([edge("error", "store"), edge("store", "error")]);
    assert_eq!(upward(&edges, &["error".to_owned(), "store".to_owned()]).len(), 1);
    assert_eq!(circles(&edges).len(), 2);
    assert!(circles(&BTreeMap::from([edge("error", "store"), edge("store", "score")])).is_empty());
}
