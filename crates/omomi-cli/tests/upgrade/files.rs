//! What a version writes, and what another one makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::serve::serve;

/// The outcome of a file that gives the answers that its own version gave.
pub(crate) const SAME: &str = "the same answers";

/// A version of omomi: this one, or the programs `omomi` and `server` in a folder.
pub(crate) enum Version {
    This,
    Other(PathBuf),
}

impl Version {
    /// Runs the command in `folder`. Returns what it printed, or its error.
    pub(crate) fn omomi(&self, folder: &Path, words: &str) -> Result<String, String> {
        let program = match self {
            Self::This => PathBuf::from(env!("CARGO_BIN_EXE_omomi")),
            Self::Other(programs) => programs.join("omomi"),
        };
        run(Command::new(program).args(words.split(' ')).current_dir(folder))
    }

    /// Serves `store` as the server `web-1`, and returns its answers.
    fn serve(&self, folder: &Path, store: &str, log: Option<&str>) -> Result<String, String> {
        let (store, schema_of) = (folder.join(store), folder.join("1.omomi"));
        let log = log.map(|log| folder.join(log));
        match self {
            Self::This => serve(&store, &schema_of, "web-1", log.as_deref())
                .map(|lines| lines.join("\n") + "\n")
                .map_err(|error| error.to_string()),
            Self::Other(programs) => {
                run(Command::new(programs.join("server")).arg(store).arg(schema_of).arg("web-1").args(log))
            }
        }
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(said(&output.stdout) + "\n") } else { Err(said(&output.stderr)) }
}

/// The files of a version: contract, logs, states, weight files of each encoding, a store that was served with an order
/// in force, the serving log of that server, and the answers.
pub(crate) fn write(version: &Version, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let done = |words: &str| version.omomi(folder, words).unwrap_or_else(|error| panic!("{words}: {error}"));
    done("generate-log --rows 1500 --click-rate 0.2 --files 3 --out logs");
    for (part, state) in [(0, "a.parquet"), (1, "b.parquet")] {
        done(&format!(
            "train --contract logs/contract.toml --logs logs/part-00{part}.parquet --time-column timestamp --no-search \
             --quiet --state {state}"
        ));
    }
    done("average a.parquet b.parquet --quiet --out merged.parquet");
    for (generation, encoding) in [(1, "f32"), (2, "f16"), (3, "i8")] {
        done(&format!(
            "pack --contract logs/contract.toml --state merged.parquet --held-out logs/part-002.parquet --quiet \
             --logic-id ctr-a --encoding {encoding} --generation {generation} --out {generation}.omomi"
        ));
        done(&format!(
            "predict {generation}.omomi --logs logs/part-002.parquet --quiet --out predictions-{generation}.csv"
        ));
    }
    done("publish 1.omomi --unblessed --to store");
    done("profile --store store --logs logs/part-000.parquet --time-column timestamp");
    done("publish 2.omomi --unblessed --to store");
    done("pin 1 store");
    let answers = version.serve(folder, "store", Some("served")).unwrap();
    fs::write(folder.join("answers.txt"), answers).unwrap();
    fs::write(folder.join("joined.csv"), joined(version, folder, "served", "joined", "", None).unwrap()).unwrap();
}

/// Joins a serving log, or what a shadow said in it, to `NAME.parquet`. Returns the columns of the joined rows, and
/// what a file predicts for them.
pub(crate) fn joined(
    version: &Version,
    folder: &Path,
    log: &str,
    name: &str,
    columns: &str,
    shadow: Option<&str>,
) -> Result<String, String> {
    let omomi = |words: &str| version.omomi(folder, words.trim_end());
    omomi(&format!("log check {log} --contract logs/contract.toml"))?;
    let shadow = shadow.map(|arm| format!("--shadow {arm}")).unwrap_or_default();
    let join = format!("log join {log} --contract logs/contract.toml --window 1h --until 2026-10-01T02:00:00Z");
    omomi(&format!("{join} --out {name}.parquet {shadow}"))?;
    let predict = "predict 1.omomi --column request_id --column clicked --quiet";
    omomi(&format!("{predict} --logs {name}.parquet --out {name}-again.csv {columns}"))?;
    fs::read_to_string(folder.join(format!("{name}-again.csv"))).map_err(|error| error.to_string())
}

/// Reads the files of a version, and says what became of each.
pub(crate) fn read(version: &Version, folder: &Path) -> BTreeMap<&'static str, String> {
    let omomi = |words: &str| version.omomi(folder, words);
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let predicted = |file: &str, generation: u32| {
        let out = format!("{file}.csv");
        omomi(&format!("predict {file} --logs logs/part-002.parquet --quiet --out {out}"))?;
        same(&text(&out), &text(&format!("predictions-{generation}.csv")))
    };
    let packed = |state: &str, file: &str| {
        omomi(&format!(
            "pack --contract logs/contract.toml --state {state} --held-out logs/part-002.parquet --quiet --logic-id ctr-a \
             --encoding f32 --generation 1 --out {file}"
        ))
        .and_then(|_| predicted(file, 1))
    };
    let mut found: BTreeMap<&'static str, Result<(), String>> = BTreeMap::new();
    found.insert("contract", omomi("contract check logs/contract.toml").map(drop));
    for (name, generation) in [("weight file, f32", 1), ("weight file, f16", 2), ("weight file, i8", 3)] {
        let file = format!("{generation}.omomi");
        found.insert(name, omomi(&format!("verify {file}")).and_then(|_| predicted(&file, generation)));
    }
    found.insert("state: pack", packed("merged.parquet", "packed-again.omomi"));
    let averaged = omomi("average a.parquet b.parquet --quiet --out merged-again.parquet");
    found.insert("states: average", averaged.and_then(|_| packed("merged-again.parquet", "averaged.omomi")));
    let continued = "train --contract logs/contract.toml --logs logs/part-002.parquet --time-column timestamp --no-search \
                     --quiet --start merged.parquet --state continued.parquet";
    found.insert("state: continue", omomi(continued).map(drop));
    let profiled = omomi("profile --store store --logs logs/part-000.parquet --time-column timestamp").map(drop);
    found.insert("history of days", profiled);
    // The journal says that the generation is good, and the order pins it.
    let served = version.serve(folder, "store", None).and_then(|answers| same(&answers, &text("answers.txt")));
    found.insert("store, journal and order", served);
    // Only the journal knows the order.
    fs::remove_file(folder.join("store/control")).unwrap();
    let served = version.serve(folder, "store", None).and_then(|answers| {
        let without_reasons = |text: &str| {
            text.lines().filter(|line| !line.starts_with("reason ")).map(|line| format!("{line}\n")).collect::<String>()
        };
        same(&without_reasons(&answers), &without_reasons(&text("answers.txt")))
    });
    found.insert("order in the journal", served);
    found.insert(
        "serving log: join",
        joined(version, folder, "served", "joined-again", "", None).and_then(|rows| same(&rows, &text("joined.csv"))),
    );
    found.insert("serving log: replay", omomi("log replay served --files 1.omomi").map(drop));
    found.extend(crate::experiment::read(version, folder));
    found.into_iter().map(|(name, outcome)| (name, outcome.map_or_else(first_line, |()| SAME.to_owned()))).collect()
}

fn first_line(error: String) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}

pub(crate) fn same(found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let lines = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    Err(format!("other answers: found and expected {lines:?}"))
}
