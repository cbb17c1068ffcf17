//! The journal and the quarantine as JSON.

use serde_json::{Value, json};

use super::super::decide::{Attempt, Deaths, Ended, Journal, Pardon, Phase};
use super::super::quarantined::Quarantined;
use super::process::{ProcessId, StoreId};
use crate::error::Code;
use crate::store::{Control, Current, Named};

/// Version of the journal that this library writes. It reads older ones, too.
pub(super) const FORMAT: u64 = 2;

/// A journal as it is on the disk.
#[derive(Debug, Clone)]
pub(super) struct JournalText {
    pub(super) journal: Journal,
    /// The last orders that the process heard.
    pub(super) heard: Option<Control>,
    pub(super) process: Option<ProcessId>,
    pub(super) store: Option<StoreId>,
    /// How the process ended, if it ended in order.
    pub(super) ended: Option<String>,
}

impl JournalText {
    pub(super) fn to_json(&self) -> Value {
        let Journal { served, followed, resolved, attempt, proven, deaths, forgiven, pardons } = &self.journal;
        let pardons =
            pardons.iter().map(|pardon| json!({ "digest": pardon.digest.to_string(), "token": pardon.token }));
        json!({
            "format": FORMAT,
            "library": env!("CARGO_PKG_VERSION"),
            "process": self.process.as_ref().map(ProcessId::to_json),
            "store": self.store.map(StoreId::to_json),
            "ended": self.ended,
            "heard": self.heard.map(|heard| heard.to_string()),
            "served": served.map(json_of),
            "followed": followed.map(json_of),
            "resolved": resolved.map(json_of),
            "attempt": attempt.map(|attempt| {
                let mut value = json_of_named(attempt.what);
                value["phase"] = json!(phase_name(attempt.phase));
                value
            }),
            "proven": proven.iter().copied().map(json_of).collect::<Vec<_>>(),
            "deaths": deaths.iter().map(json_of_deaths).collect::<Vec<_>>(),
            "forgiven": forgiven.iter().map(json_of_deaths).collect::<Vec<_>>(),
            "pardons": pardons.collect::<Vec<_>>(),
        })
    }

    /// Reads a journal of this or an older release. Returns what is wrong with any other text.
    pub(super) fn of_json(value: &Value) -> Result<Self, String> {
        if !value.is_object() {
            return Err("expected a JSON object".to_owned());
        }
        let format = value["format"].as_u64().unwrap_or(1);
        if format > FORMAT {
            return Err(format!("expected format {FORMAT} or older, found {format}"));
        }
        let list = |key: &str| value[key].as_array().into_iter().flatten();
        let mut proven: Vec<Current> = list("proven").filter_map(current_of).collect();
        // Format 1 has one good generation, and an open trial without evidence.
        proven.extend(current_of(&value["good"]));
        let served = current_of(&value["served"]).or(current_of(&value["good"]));
        let journal = Journal {
            served,
            followed: current_of(&value["followed"]).or(current_of(&value["good"])),
            resolved: current_of(&value["resolved"]),
            attempt: attempt_of(&value["attempt"]),
            proven,
            deaths: list("deaths").filter_map(deaths_of).collect(),
            forgiven: list("forgiven").filter_map(deaths_of).collect(),
            pardons: list("pardons").filter_map(pardon_of).collect(),
        };
        Ok(Self {
            journal,
            heard: value["heard"].as_str().and_then(|text| text.parse().ok()),
            process: ProcessId::of_json(&value["process"]),
            store: StoreId::of_json(&value["store"]),
            ended: value["ended"].as_str().map(str::to_owned),
        })
    }

    /// Returns how the process of this journal ended, if it does not live any more.
    pub(super) fn ended(&self, store: Option<StoreId>) -> Ended {
        if self.ended.is_some() {
            return Ended::Orderly;
        }
        let is_here = self.store.is_some() && self.store == store;
        let is_now = self.process.as_ref().is_some_and(ProcessId::is_of_this_boot);
        if is_here && is_now { Ended::Died } else { Ended::Unknown }
    }
}

pub(super) fn quarantine_to_json(quarantined: &[Quarantined]) -> Value {
    json!({ "quarantined": quarantined.iter().map(Quarantined::to_json).collect::<Vec<_>>() })
}

/// Reads the entries of every release.
pub(super) fn quarantine_of_json(value: &Value) -> Result<Vec<Quarantined>, String> {
    let entries = value["quarantined"].as_array().ok_or("expected a list `quarantined`")?;
    let entry = |entry: &Value| {
        let current = current_of(entry)?;
        let name = entry["code"].as_str()?;
        Some(Quarantined {
            digest: current.digest,
            generation: current.generation,
            // Another release may know more codes.
            code: Code::ALL.iter().copied().find(|code| code.name() == name).unwrap_or(Code::Malformed),
            reason: entry["reason"].as_str()?.to_owned(),
            unix_seconds: entry["unix_seconds"].as_u64().unwrap_or(0),
            is_lasting: true,
            library: entry["library"].as_str().unwrap_or("unknown").to_owned(),
        })
    };
    let read: Vec<Quarantined> = entries.iter().filter_map(entry).collect();
    if read.len() < entries.len() {
        return Err(format!(
            "expected {} entries with generation, digest, code and reason, found {}",
            entries.len(),
            read.len()
        ));
    }
    Ok(read)
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Loading => "loading",
        Phase::Trial => "trial",
    }
}

fn json_of(current: Current) -> Value {
    json_of_named(current.into())
}

fn json_of_named(named: Named) -> Value {
    json!({ "generation": named.generation, "digest": named.digest.map(|digest| digest.to_string()) })
}

fn json_of_deaths(deaths: &Deaths) -> Value {
    let mut value = json_of_named(deaths.what);
    value["count"] = json!(deaths.count);
    value["others"] = json!(deaths.others);
    value
}

fn current_of(value: &Value) -> Option<Current> {
    let named = named_of(value)?;
    Some(Current { generation: named.generation, digest: named.digest? })
}

fn named_of(value: &Value) -> Option<Named> {
    Some(Named {
        generation: value["generation"].as_u64()?,
        digest: value["digest"].as_str().and_then(|text| text.parse().ok()),
    })
}

fn attempt_of(value: &Value) -> Option<Attempt> {
    let phases = [Phase::Loading, Phase::Trial];
    let phase = phases.into_iter().find(|phase| value["phase"] == phase_name(*phase))?;
    Some(Attempt { what: named_of(value)?, phase })
}

fn deaths_of(value: &Value) -> Option<Deaths> {
    let number = |key: &str| value[key].as_u64().and_then(|count| u32::try_from(count).ok());
    Some(Deaths { what: named_of(value)?, count: number("count")?, others: number("others").unwrap_or(0) })
}

fn pardon_of(value: &Value) -> Option<Pardon> {
    Some(Pardon { digest: value["digest"].as_str()?.parse().ok()?, token: value["token"].as_u64()? })
}
