//! `omomi status`: shows what is published, what people ordered, and what servers report.

use std::path::PathBuf;

use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::publish::servers::{Life, ServerStatus};
use omomi_train::operate::publish::status::{GenerationStatus, Status};
use omomi_train::serving_logs::{LogStatus, WriterStatus};
use serde_json::Value;

use crate::Failure;
use crate::output::{one_line, say};
use crate::refusal::{Refusal, print_json};
use crate::stores::NamedStore;
use crate::text::{bytes, grouped, table};

/// Show what is published, served and quarantined in a store, and why
///
/// Reads every byte of each weight file that it shows, to find damage. What servers serve is taken from their last
/// report. A process runs if it holds its lock; it is stuck if its report is older than 30 seconds. Of the folder of a
/// serving log, shows the writers: records, drops by reason, bytes, and how long the oldest record waits for the disk;
/// a writer whose report is older than 30 seconds is dead. With --check, the exit code is 5 if anything is wrong.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the store, or folder of a serving log
    dir: PathBuf,
    /// Number of newest generations to read and show
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// Exit with 5 if anything is wrong, for monitors
    #[arg(long)]
    check: bool,
    /// Print the status as JSON
    #[arg(long)]
    json: bool,
}

/// Something is wrong in the store or on its servers.
#[derive(Debug)]
pub(crate) struct Wrong(Vec<String>);

impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(formatter, "{} problem{plural}: {}", self.0.len(), self.0.join("; "))
    }
}

impl std::error::Error for Wrong {}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if LogStatus::is_log(&arguments.dir) {
        return run_log(arguments);
    }
    let named = NamedStore::open(&arguments.dir).map_err(|error| Refusal::from(error).report(arguments.json))?;
    let needs = Needs { served_file: true, last_files: true, ..Needs::default() };
    let status = named.read(needs).and_then(|store| Ok(Status::read(store, arguments.last)?));
    let status = status.map_err(|error| named.refuse(error, arguments.json))?;
    if arguments.json {
        say!("{}", named.named(&format!("{:#}", status.to_json())));
    } else {
        say_decisions(&status, &named);
        say_generations(&status, &named);
        say_servers(&status.servers);
        if status.foreign_count > 0 {
            say!(
                "\n{} states in state/ belong to servers of another store, of which this is a copy",
                status.foreign_count
            );
        }
    }
    let problems: Vec<String> = status.problems().iter().map(|problem| named.named(problem)).collect();
    if arguments.check && !problems.is_empty() {
        return Err(Box::new(Wrong(problems)));
    }
    Ok(())
}

/// Shows the state of a serving log.
fn run_log(arguments: &Arguments) -> Result<(), Failure> {
    let status = LogStatus::read(&arguments.dir)?;
    let problems = status.problems();
    if arguments.json {
        print_json(&status.to_json());
    } else {
        let segments = [
            ("sealed segments", grouped(status.sealed_count)),
            ("records in them", grouped(status.sealed_record_count)),
            ("segments that are still written", grouped(status.partial_count)),
            ("bytes of all segments", bytes(status.len_bytes)),
        ];
        say!("{}\n", table(&[], segments.map(|(what, count)| vec![what.to_owned(), count]).to_vec()));
        let rows = status.writers.iter().map(writer_row).collect();
        let names = ["server", "state", "records", "dropped", "bytes", "oldest unwritten", "last report"];
        say!("{}", table(&names, rows));
        for (owner, problem) in &problems {
            say!("\n{}\n  who must act: {}", one_line(problem), owner.word());
        }
    }
    if arguments.check && !problems.is_empty() {
        return Err(Box::new(Wrong(problems.into_iter().map(|(_, text)| text).collect())));
    }
    Ok(())
}

fn writer_row(writer: &WriterStatus) -> Vec<String> {
    let name = if writer.name.is_empty() { writer.writer.clone() } else { one_line(&writer.name) };
    let dropped: Vec<String> =
        writer.dropped().into_iter().map(|(reason, count)| format!("{} {reason}", grouped(count))).collect();
    let dash = || "-".to_owned();
    let seconds = |ms: i64| format!("{}.{} s", grouped(ms.max(0).cast_unsigned() / 1_000), ms % 1_000 / 100);
    vec![
        name,
        writer.life.word().to_owned(),
        grouped(writer.counts.written),
        if dropped.is_empty() { dash() } else { dropped.join(", ") },
        writer.written_bytes.map_or_else(dash, bytes),
        writer.oldest_waiting_ms.map_or_else(dash, seconds),
        format!("{} ago", seconds(writer.age_ms)),
    ]
}

fn say_decisions(status: &Status, named: &NamedStore) {
    let current = match &status.current {
        Ok(Some(current)) if status.is_current_gone => format!("generation {}, whose file is gone", current.generation),
        Ok(Some(current)) => format!("generation {}", current.generation),
        Ok(None) => "nothing yet".to_owned(),
        Err(error) => format!("not known: {} (for {})", error.full_message(), error.owner().word()),
    };
    let control = match &status.control {
        Ok(Some(control)) => control.to_string(),
        Ok(None) => "absent: servers obey what they heard last".to_owned(),
        Err(error) => format!("not known: {} (for {})", error.full_message(), error.owner().word()),
    };
    say!("{}", named.named(&format!("published  {current}\ncontrol    {control}\n")));
}

fn say_generations(status: &Status, named: &NamedStore) {
    if status.older_count > 0 {
        say!("{} older generations not shown", grouped(status.older_count as u64));
    }
    if status.generations.is_empty() {
        return;
    }
    let last = status.generations.len() - 1;
    let rows = status.generations.iter().enumerate().map(|(index, it)| {
        // A store in a bucket is not at the path of its copy.
        generation_row(it, index == last).iter().map(|cell| named.named(cell)).collect()
    });
    say!("{}\n", table(&["generation", "size", "weights", "training end", "sha256", ""], rows.collect()));
}

fn generation_row(generation: &GenerationStatus, is_newest: bool) -> Vec<String> {
    let number = generation.generation.to_string();
    let remark = match generation.is_unfinished {
        // Only the newest number is still free for the same bytes.
        true if is_newest => "never became current; publish the same file again, or the next generation",
        true => "never became current; publish the next generation",
        false => "",
    };
    match &generation.file {
        Ok(file) => vec![
            number,
            bytes(file.len_bytes),
            grouped(file.weight_count),
            file.training_end.clone().unwrap_or_else(|| "-".to_owned()),
            file.digest.to_string(),
            remark.to_owned(),
        ],
        Err(error) => {
            let remark = format!("{} (for {})", error.full_message(), error.owner().word());
            vec![number, "-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned(), remark]
        }
    }
}

fn say_servers(servers: &[ServerStatus]) {
    if servers.is_empty() {
        say!("no server has reported");
        return;
    }
    let rows = servers.iter().map(server_row).collect();
    say!("{}", table(&["server", "state", "served", "last report"], rows));
    for server in servers {
        let Ok(report) = &server.report else { continue };
        let name = one_line(&server.name);
        for reason in list(report, "reasons") {
            let [code, text, owner] = ["code", "text", "owner"].map(|key| word(&reason[key]));
            say!("\n{name}: {code}: {text}\n  who must act: {owner}");
        }
        for quarantined in list(report, "quarantined") {
            let [reason, owner] = ["reason", "owner"].map(|key| word(&quarantined[key]));
            let generation = &quarantined["generation"];
            say!("\n{name}: generation {generation} is in quarantine: {reason}\n  who must act: {owner}");
        }
    }
}

fn server_row(server: &ServerStatus) -> Vec<String> {
    let age = server.heartbeat_age_seconds.map_or("-".to_owned(), |age| format!("{} s ago", grouped(age)));
    let age = match server.life {
        Life::Running if server.is_stale() => format!("{age}, stale: the process runs, and is stuck"),
        Life::Running => age,
        Life::Ended => format!("{age}, ended"),
        Life::Died => format!("{age}, died"),
        Life::Unknown => "on another machine, or before a reboot".to_owned(),
    };
    let age = match server.second_pid {
        Some(pid) => format!("{age}; a second process of this name runs, pid {pid}"),
        None => age,
    };
    match &server.report {
        Ok(report) => {
            let served = &report["served"]["generation"];
            let served = if served.is_null() { "-".to_owned() } else { served.to_string() };
            vec![server.name.clone(), word(&report["state"]), served, age]
        }
        Err(problem) => vec![server.name.clone(), problem.clone(), "-".to_owned(), age],
    }
}

fn list<'a>(report: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    report[key].as_array().into_iter().flatten()
}

/// Returns a JSON string without quotes on one line, and any other value as JSON, because another version may have
/// written the report.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), one_line)
}
