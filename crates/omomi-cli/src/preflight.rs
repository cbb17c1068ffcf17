//! `omomi preflight`: loads a weight file as servers do, before they get it.

mod library;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use omomi::LoadMode;
use omomi_train::bucket::LocalCopy;
use serde_json::{Value, json};

use crate::Failure;
use crate::output::{json_line, print_exactly, say};
use crate::refusal::print_json;
use crate::text::{bytes, parse_bytes, table};

/// The program that loads the file over JNI: `java` compiles and runs it.
const JAVA_PROGRAM: &str = include_str!("preflight/Preflight.java");
const JAVA_PROGRAM_NAME: &str = "Preflight.java";

/// Load a weight file through the libraries that servers use, before it is published
///
/// Each library opens the file in a process of its own: it verifies every byte and recomputes the golden requests,
/// whose answers have to be those of the trainer, bit for bit. Without --library and --jar, that is the library of this
/// program. Shows how long opening takes and how much memory the process needs at most.
///
/// Exit code 0: every library loaded the file, within the limits. 1: one did not; the error says which and why. 3: the
/// file is slower or larger than the limits allow. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file to load
    file: PathBuf,
    /// Shared library of the C interface, as servers link it, such as libomomi.so
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Jar of the Java interface, as servers have it on their class path; java has to be a JDK of at least 11
    #[arg(long, value_name = "FILE")]
    jar: Option<PathBuf>,
    /// The java to load it with
    #[arg(long, value_name = "PROGRAM", default_value = "java", requires = "jar")]
    java: PathBuf,
    /// Shared library that the jar loads [default: its own]
    #[arg(long, value_name = "FILE", requires = "jar")]
    jni_library: Option<PathBuf>,
    /// Longest time to open the file, in milliseconds, without the start of the process
    #[arg(long, value_name = "MS")]
    max_open_ms: Option<u64>,
    /// Most memory of a process that opened the file, such as 2GB; a JVM has some of its own
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_memory: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of the process that loads the file.
#[derive(clap::Args)]
pub(crate) struct LoadArguments {
    file: PathBuf,
    #[arg(long)]
    library: Option<PathBuf>,
}

/// The file is slower or larger than the limits allow.
#[derive(Debug, thiserror::Error)]
#[error("{}: held back: {}", file.display(), reasons.join("; "))]
pub(crate) struct BeyondLimits {
    file: PathBuf,
    reasons: Vec<String>,
}

/// What a library found.
#[derive(Debug, PartialEq)]
struct Loaded {
    /// The library, in words.
    through: String,
    version: String,
    generation: u64,
    weight_count: u64,
    open_ms: f64,
    peak_memory_bytes: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let local = LocalCopy::of(&arguments.file)?;
    let file = local.path();
    let this = std::env::current_exe()?;
    let mut all = Vec::new();
    if arguments.library.is_some() || arguments.jar.is_none() {
        let through =
            arguments.library.as_ref().map_or_else(|| "this program".to_owned(), |it| it.display().to_string());
        let mut command = Command::new(&this);
        command.arg("preflight-load").arg(file);
        command.args(arguments.library.iter().flat_map(|library| [Path::new("--library"), library.as_path()]));
        all.push(loaded(through, command)?);
    }
    if let Some(jar) = &arguments.jar {
        let folder =
            std::env::temp_dir().join(format!("omomi-preflight-{}-{:x}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir(&folder)?;
        let program = folder.join(JAVA_PROGRAM_NAME);
        let outcome = std::fs::write(&program, JAVA_PROGRAM).map_err(Failure::from).and_then(|()| {
            let mut command = Command::new(&arguments.java);
            command.arg("-cp").arg(jar);
            if let Some(library) = &arguments.jni_library {
                command.arg(format!("-Dio.omomi.library.path={}", library.display()));
            }
            command.arg(&program).arg(file);
            loaded(format!("JNI, {}", jar.display()), command)
        });
        // Nothing is lost if it stays.
        let _ = std::fs::remove_dir_all(&folder);
        all.push(outcome?);
    }
    let reasons = reasons(&all, arguments.max_open_ms, arguments.max_memory);
    report(arguments, &all, &reasons);
    if reasons.is_empty() { Ok(()) } else { Err(BeyondLimits { file: arguments.file.clone(), reasons }.into()) }
}

/// Lets a process load the file, and reads its report.
fn loaded(through: String, mut command: Command) -> Result<Loaded, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{program} cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{through}: the file was not loaded ({}): {}", output.status, said.trim()).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Option<Value> = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    let report = report.unwrap_or_default();
    let number = |key: &str| report[key].as_u64();
    let (Some(generation), Some(weight_count), Some(open_ns)) =
        (number("generation"), number("weights"), number("open_ns"))
    else {
        return Err(format!("{through}: expected a report of the loaded file, found: {}", text.trim()).into());
    };
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let open_ms = open_ns as f64 / 1e6;
    let version = report["version"].as_str().unwrap_or_default().to_owned();
    Ok(Loaded { through, version, generation, weight_count, open_ms, peak_memory_bytes: number("peak_memory_bytes") })
}

/// Returns what is wrong, by the limits, and where libraries see different files.
fn reasons(all: &[Loaded], max_open_ms: Option<u64>, max_memory: Option<u64>) -> Vec<String> {
    let mut reasons = Vec::new();
    for loaded in all {
        let through = &loaded.through;
        #[expect(clippy::cast_precision_loss, reason = "a limit in milliseconds")]
        if let Some(limit) = max_open_ms.filter(|&limit| loaded.open_ms > limit as f64) {
            reasons.push(format!("{through}: expected to open in {limit} ms, took {:.0} ms", loaded.open_ms));
        }
        match (max_memory, loaded.peak_memory_bytes) {
            (Some(limit), Some(found)) if found > limit => {
                reasons.push(format!("{through}: expected at most {} of memory, found {}", bytes(limit), bytes(found)));
            }
            (Some(limit), None) => {
                reasons
                    .push(format!("{through}: expected at most {} of memory; this system does not say", bytes(limit)));
            }
            _ => {}
        }
    }
    reasons
}

fn report(arguments: &Arguments, all: &[Loaded], reasons: &[String]) {
    if arguments.json {
        let loaded = all.iter().map(|it| {
            json!({
                "through": it.through,
                "version": it.version,
                "generation": it.generation,
                "weights": it.weight_count,
                "open_ms": it.open_ms,
                "peak_memory_bytes": it.peak_memory_bytes,
            })
        });
        print_json(&json!({
            "passed": reasons.is_empty(),
            "loaded": loaded.collect::<Vec<_>>(),
            "reasons": reasons,
        }));
        return;
    }
    let rows = all.iter().map(|it| {
        let memory = it.peak_memory_bytes.map_or_else(|| "-".to_owned(), bytes);
        vec![it.through.clone(), it.version.clone(), format!("{:.1}", it.open_ms), memory]
    });
    say!("{}", table(&["through", "version", "open, ms", "memory at most"], rows.collect()));
    say!("\n{}: golden requests answered with the bits of the trainer", arguments.file.display());
}

/// Loads the file in this process, and reports on standard output.
pub(crate) fn run_load(arguments: &LoadArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let (version, generation, weight_count) = match &arguments.library {
        Some(library) => library::open(library, &arguments.file)?,
        None => {
            let model = crate::verify::load(&arguments.file, LoadMode::Map)?;
            model.check_golden()?;
            (env!("CARGO_PKG_VERSION").to_owned(), model.generation(), model.weight_count())
        }
    };
    let open_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let report = json!({
        "version": version,
        "generation": generation,
        "weights": weight_count,
        "open_ns": open_ns,
        "peak_memory_bytes": peak_memory_bytes(),
    });
    print_exactly(json_line(&report).as_bytes());
    Ok(())
}

/// The most memory that this process had, if the system says it.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_back_a_file_that_is_slow_or_large_and_memory_that_is_not_known() {
        let loaded = |open_ms, peak_memory_bytes| Loaded {
            through: "a".to_owned(),
            version: "1".to_owned(),
            generation: 1,
            weight_count: 1,
            open_ms,
            peak_memory_bytes,
        };
        let all = [loaded(20.0, Some(3_000_000)), loaded(10.0, None)];
        assert_eq!(reasons(&all, None, None), Vec::<String>::new());
        assert_eq!(reasons(&all, Some(20), None), Vec::<String>::new());
        assert_eq!(reasons(&all, Some(15), None), ["a: expected to open in 15 ms, took 20 ms"]);
        assert_eq!(reasons(&all, None, Some(2_000_000)).len(), 2);
    }
}
