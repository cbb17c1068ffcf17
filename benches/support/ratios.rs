//! The results of a contest: medians, ratios taken round by round, and targets met or missed, as a Markdown table.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use omomi::Instructions;

/// Times of all contestants, round by round.
pub struct Samples {
    names: Vec<String>,
    unit: &'static str,
    units_per_call: f64,
    /// Nanoseconds of one call, by contestant, then by round.
    call_ns: Vec<Vec<f64>>,
}

/// A target for a contest.
pub enum Target {
    /// The median is at most this many nanoseconds per unit.
    AtMostNs(&'static str, f64),
    /// The first contestant takes at most this many times as long as the second.
    AtMostTimes(&'static str, f64, &'static str),
    /// The first contestant is at least this many times faster than the second.
    TimesFaster(&'static str, f64, &'static str),
}

/// Median and quartiles.
#[derive(Clone, Copy)]
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Samples {
    pub fn new(names: Vec<String>, unit: &'static str, units_per_call: u64) -> Self {
        let call_ns = vec![Vec::new(); names.len()];
        Self { names, unit, units_per_call: units_per_call as f64, call_ns }
    }

    pub fn push(&mut self, contestant: usize, took: Duration, call_count: u64) {
        self.call_ns[contestant].push(took.as_secs_f64() * 1e9 / call_count as f64);
    }

    /// Returns the time of one call of a contestant in round `round`. After the last round, starts again from the
    /// first.
    pub fn call_time(&self, contestant: usize, round: usize) -> Duration {
        let rounds = &self.call_ns[contestant];
        Duration::from_secs_f64((rounds[round % rounds.len()] / 1e9).max(1e-9))
    }

    fn unit_ns(&self, contestant: usize) -> Spread {
        spread(self.call_ns[contestant].iter().map(|ns| ns / self.units_per_call))
    }

    fn ratio(&self, contestant: usize, of: usize) -> Spread {
        spread(self.call_ns[contestant].iter().zip(&self.call_ns[of]).map(|(ns, of)| ns / of))
    }

    fn index(&self, name: &str) -> usize {
        let index = self.names.iter().position(|known| known == name);
        index.unwrap_or_else(|| panic!("no contestant is called `{name}`"))
    }

    fn table(&self) -> String {
        let width = self.names.iter().map(String::len).max().unwrap_or(0);
        let (unit, first, rule) = (self.unit, &self.names[0], "-".repeat(width));
        let mut table = format!("| {:width$} | ns per {unit} | quartiles | times `{first}` | quartiles |\n", "");
        writeln!(table, "| {rule} | ---: | ---: | ---: | ---: |").expect("memory");
        for (index, name) in self.names.iter().enumerate() {
            let (ns, ratio) = (self.unit_ns(index), self.ratio(index, 0));
            writeln!(
                table,
                "| {name:width$} | {} | {} to {} | {} | {} to {} |",
                digits(ns.median),
                digits(ns.low),
                digits(ns.high),
                digits(ratio.median),
                digits(ratio.low),
                digits(ratio.high)
            )
            .expect("memory");
        }
        table
    }

    fn verdict(&self, target: &Target) -> String {
        let word = |met: bool| if met { "met" } else { "**missed**" };
        match *target {
            Target::AtMostNs(name, max) => {
                let found = self.unit_ns(self.index(name)).median;
                format!("`{name}` at most {max} ns per {}: {}, {}", self.unit, digits(found), word(found <= max))
            }
            Target::AtMostTimes(name, max, of) => {
                let found = self.ratio(self.index(name), self.index(of)).median;
                format!("`{name}` at most {max} times `{of}`: {}, {}", digits(found), word(found <= max))
            }
            Target::TimesFaster(name, min, than) => {
                let found = self.ratio(self.index(than), self.index(name)).median;
                format!("`{name}` at least {min} times faster than `{than}`: {}, {}", digits(found), word(found >= min))
            }
        }
    }
}

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |quarters: usize| sorted[(sorted.len() - 1) * quarters / 4];
    Spread { low: at(1), median: at(2), high: at(3) }
}

/// Formats a value with three significant digits.
fn digits(value: f64) -> String {
    let places = (0..6).find(|&places| value >= 100.0 / 10_f64.powi(places)).unwrap_or(6);
    format!("{value:.*}", usize::try_from(places).unwrap_or(0))
}

/// The report of one bench: the machine and the date, then a table for each contest.
pub struct Report {
    name: String,
    text: String,
    smoke: bool,
}

impl Report {
    pub fn new(name: &str, smoke: bool) -> Self {
        let mut text = format!("## {name}\n\n");
        for (what, value) in machine(name) {
            writeln!(text, "* {what}: {value}").expect("memory");
        }
        Self { name: name.to_owned(), text, smoke }
    }

    pub fn add(&mut self, contest: &str, samples: &Samples, targets: &[Target]) {
        let mut part = format!("\n### {contest}\n\n{}", samples.table());
        if !targets.is_empty() {
            part.push('\n');
        }
        for target in targets {
            writeln!(part, "* {}", samples.verdict(target)).expect("memory");
        }
        if !self.smoke {
            println!("{part}");
        }
        self.text.push_str(&part);
    }

    /// Adds a figure that is not a time, such as bytes per weight.
    pub fn note(&mut self, line: &str) {
        if !self.smoke {
            println!("* {line}");
        }
        let after_note = self.text.lines().last().is_some_and(|last| last.starts_with("* "));
        let gap = if after_note { "" } else { "\n" };
        writeln!(self.text, "{gap}* {line}").expect("memory");
    }

    /// Writes the report to the folder from which `.ci/bench` collects it. The figures of a smoke test are meaningless
    /// and are not kept.
    pub fn write(self) {
        if self.smoke {
            return;
        }
        let folder = folder();
        let path = folder.join(format!("{}.md", self.name));
        fs::create_dir_all(&folder).and_then(|()| fs::write(&path, self.text)).expect("room for the report");
        println!("report: {}", path.display());
    }
}

/// `target/ratios`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("ratios")
}

/// Returns what the figures depend on, such as the processor.
fn machine(bench: &str) -> Vec<(&'static str, String)> {
    let line_of = |path: &str, start: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let rest = text.lines().find_map(|line| line.strip_prefix(start));
        rest.map_or_else(|| "unknown".to_owned(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
    };
    let date = Command::new("date").args(["-u", "+%F %T UTC"]).output();
    let date =
        date.map_or_else(|_| "unknown".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
    let processor = line_of("/proc/cpuinfo", "model name");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        ("date", date),
        ("command", format!("cargo bench --bench {bench}{arguments}")),
        ("processor", format!("{processor}, {} instructions", Instructions::detect().name())),
        ("allowed on cores", format!("{} ({cores})", line_of("/proc/self/status", "Cpus_allowed_list"))),
        ("load average at the start", line_of("/proc/loadavg", "")),
        ("huge pages", line_of("/sys/kernel/mm/transparent_hugepage/enabled", "")),
    ]
}
