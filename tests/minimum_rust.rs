//! No dependency needs a newer Rust than `rust-version` in `Cargo.toml` promises.
//!
//! Only what dependencies declare is checked, for this machine's target. That the sources of this project compile with
//! that version is for clippy's `incompatible_msrv` to say, as far as the standard library goes.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

/// The packages whose users compile the dependencies.
const PACKAGES: [&str; 3] = ["omomi", "omomi-train", "omomi-cli"];

fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metadata() -> Value {
    let rustc = output("rustc", &["-vV"]);
    let target = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let arguments = ["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", target];
    serde_json::from_str(&output(env!("CARGO"), &arguments)).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

/// `1.89` as numbers that compare.
fn numbers(version: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    numbers.resize(3, 0);
    numbers
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_project() {
    let metadata = metadata();
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    let packages: HashMap<String, &Value> = list(&metadata, "packages").iter().map(|it| (id(&it["id"]), it)).collect();
    let nodes: HashMap<String, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (id(&node["id"]), node)).collect();

    let own = list(&metadata, "workspace_members").iter().map(id);
    let mut found: Vec<String> = own.filter(|id| PACKAGES.iter().any(|name| packages[id]["name"] == *name)).collect();
    assert_eq!(found.len(), PACKAGES.len());
    let promised = packages[&found[0]]["rust_version"].as_str().unwrap().to_owned();

    let mut next = 0;
    while next < found.len() {
        for dependency in list(nodes[&found[next]], "deps") {
            let is_of_tests = list(dependency, "dep_kinds").iter().all(|kind| kind["kind"] == "dev");
            let id = id(&dependency["pkg"]);
            if !is_of_tests && !found.contains(&id) {
                found.push(id);
            }
        }
        next += 1;
    }
    assert!(found.len() > 100, "{found:?}");

    let newer: Vec<String> = found
        .iter()
        .filter_map(|id| {
            let needed = packages[id]["rust_version"].as_str()?;
            let [name, version] = ["name", "version"].map(|part| packages[id][part].as_str().unwrap());
            let text = || format!("{name} {version} needs Rust {needed}");
            (numbers(needed) > numbers(&promised)).then(text)
        })
        .collect();
    assert!(newer.is_empty(), "Cargo.toml promises Rust {promised}: {newer:#?}");
}
