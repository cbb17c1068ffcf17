//! Places states in rows, by the longest way from the first one.

use std::collections::{BTreeMap, BTreeSet};

use super::elapsed;
use crate::flow::definition::{Kind, StateMachine, States, ways};
use crate::flow::status::{Progress, RunStatus, StateStatus};

pub(super) const NODE_WIDTH: u32 = 210;
pub(super) const NODE_HEIGHT: u32 = 46;
const COLUMN_WIDTH: u32 = NODE_WIDTH + 26;
const ROW_HEIGHT: u32 = NODE_HEIGHT + 34;
const MARGIN: u32 = 6;
/// Letters of a name that fit into a node.
const NAME_LEN: usize = 28;

/// One drawing: the states of a machine, of a branch or of an item.
pub(super) struct Graph {
    pub(super) caption: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) line: String,
    pub(super) class: &'static str,
    pub(super) x: u32,
    pub(super) y: u32,
}

pub(super) struct Edge {
    pub(super) path: String,
    pub(super) tip: String,
    pub(super) class: &'static str,
}

/// States that are drawn together.
struct Group {
    caption: String,
    /// The first one is where the group begins.
    names: Vec<String>,
    ways: BTreeSet<(String, String)>,
}

pub(super) fn graphs(machine: Option<&StateMachine>, status: &RunStatus, now_unix_ms: i64) -> Vec<Graph> {
    let groups = match machine {
        Some(machine) => {
            let mut groups = Vec::new();
            add_groups(&machine.top, String::new(), &mut groups);
            groups
        }
        None => groups_of(status),
    };
    groups.into_iter().map(|group| drawn(group, status, now_unix_ms)).collect()
}

/// The groups of a definition, outer ones first.
fn add_groups(states: &States, caption: String, groups: &mut Vec<Group>) {
    let mut names = vec![states.start_at.clone()];
    let mut all = BTreeSet::new();
    // In the order of their ways, so that the main line comes first.
    let mut at = 0;
    while at < names.len() {
        for (_, to) in ways(&states.states[&names[at]]) {
            all.insert((names[at].clone(), to.clone()));
            if !names.contains(to) {
                names.push(to.clone());
            }
        }
        at += 1;
    }
    let inner: Vec<String> = names.clone();
    groups.push(Group { caption, names, ways: all });
    for name in inner {
        match &states.states[&name].kind {
            Kind::Map { states, .. } => add_groups(states, format!("{name}: each item"), groups),
            Kind::Parallel { branches } => {
                for (index, branch) in branches.iter().enumerate() {
                    add_groups(branch, format!("{name}: branch {}", index + 1), groups);
                }
            }
            _ => {}
        }
    }
}

/// The groups that a history shows.
fn groups_of(status: &RunStatus) -> Vec<Group> {
    let mut parents: Vec<&Option<String>> = Vec::new();
    for state in &status.states {
        if !parents.contains(&&state.parent) {
            parents.push(&state.parent);
        }
    }
    let group = |parent: &Option<String>| {
        let names = status.states.iter().filter(|state| state.parent == *parent);
        let names: Vec<String> = names.map(|state| state.name.clone()).collect();
        let ways = status.ways.iter().filter(|(from, to)| names.contains(from) && names.contains(to)).cloned();
        let caption = parent.as_ref().map_or_else(String::new, |parent| format!("in {parent}"));
        Group { caption, ways: ways.collect(), names }
    };
    parents.into_iter().map(group).collect()
}

fn drawn(group: Group, status: &RunStatus, now_unix_ms: i64) -> Graph {
    let rows = rows(&group);
    let mut columns: BTreeMap<usize, u32> = BTreeMap::new();
    let mut places: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for name in &group.names {
        let row = rows[name.as_str()];
        let column = columns.entry(row).or_default();
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        places.insert(name, (MARGIN + *column * COLUMN_WIDTH, MARGIN + row * ROW_HEIGHT));
        *column += 1;
    }
    let not_entered = if status.ended_unix_ms.is_some() { "not reached" } else { Progress::Waiting.word() };
    let node = |name: &String| {
        let state = status.states.iter().find(|state| state.name == *name);
        let (x, y) = places[name.as_str()];
        let progress = state.map_or(Progress::Waiting, |state| state.progress);
        Node {
            name: if name.chars().count() <= NAME_LEN {
                name.clone()
            } else {
                name.chars().take(NAME_LEN - 1).chain(['…']).collect()
            },
            title: format!("{name}: {}", progress.word()),
            line: state.map_or_else(|| not_entered.to_owned(), |state| line(state, now_unix_ms)),
            class: progress.word(),
            x,
            y,
        }
    };
    let edge = |(from, to): &(String, String)| {
        let is_taken = status.ways.contains(&(from.clone(), to.clone()));
        edge(places[from.as_str()], places[to.as_str()], if is_taken { "taken" } else { "" })
    };
    let column_count = columns.values().max().copied().unwrap_or(1);
    let row_count = columns.keys().last().map_or(1, |row| u32::try_from(row + 1).unwrap_or(1));
    Graph {
        width: 2 * MARGIN + column_count * COLUMN_WIDTH,
        height: 2 * MARGIN + row_count * ROW_HEIGHT - (ROW_HEIGHT - NODE_HEIGHT),
        nodes: group.names.iter().map(node).collect(),
        edges: group.ways.iter().map(edge).collect(),
        caption: group.caption,
    }
}

fn line(state: &StateStatus, now_unix_ms: i64) -> String {
    let mut parts = vec![elapsed(Some(state.started_unix_ms), state.ended_unix_ms, now_unix_ms)];
    if state.done.1 > 1 {
        parts.push(format!("{} of {}", state.done.0, state.done.1));
    }
    if state.attempt_count > state.visit_count {
        parts.push(format!("{} attempts", state.attempt_count));
    }
    match state.exit_code {
        Some(code) => parts.push(format!("exit code {code}")),
        None => parts.extend(state.error.clone()),
    }
    parts.join(", ")
}

/// The row of each state: one below the lowest of those that lead to it. Ways back do not count.
fn rows(group: &Group) -> BTreeMap<&str, usize> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &group.names {
        let to = group.names.iter().filter(|to| group.ways.contains(&(name.clone(), (*to).clone())));
        next.insert(name, to.map(String::as_str).collect());
    }
    // States in the order of a search, last ones first, and the ways back that it found.
    let (mut order, mut backward, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for start in &group.names {
        let mut open: Vec<(&str, usize)> = vec![(start, 0)];
        if !seen.insert(start.as_str()) {
            continue;
        }
        while let Some((name, at)) = open.pop() {
            let Some(to) = next[name].get(at) else {
                order.push(name);
                continue;
            };
            open.push((name, at + 1));
            if open.iter().any(|(open, _)| open == to) {
                backward.insert((name, *to));
            } else if seen.insert(to) {
                open.push((to, 0));
            }
        }
    }
    let mut rows: BTreeMap<&str, usize> = group.names.iter().map(|name| (name.as_str(), 0)).collect();
    for name in order.into_iter().rev() {
        let below = rows[name] + 1;
        for to in next[name].iter().filter(|to| !backward.contains(&(name, **to))) {
            let row = rows.entry(to).or_default();
            *row = (*row).max(below);
        }
    }
    rows
}

/// A curve between two nodes, with its tip.
fn edge((from_x, from_y): (u32, u32), (to_x, to_y): (u32, u32), class: &'static str) -> Edge {
    if to_y == from_y + ROW_HEIGHT || (to_y > from_y && to_x != from_x) {
        let (begin_x, begin_y) = (from_x + NODE_WIDTH / 2, from_y + NODE_HEIGHT);
        let (end_x, end_y) = (to_x + NODE_WIDTH / 2, to_y - 7);
        let bend = (to_y - begin_y) / 2;
        let path = format!(
            "M{begin_x} {begin_y}C{begin_x} {} {end_x} {} {end_x} {end_y}",
            begin_y + bend,
            to_y.saturating_sub(bend)
        );
        return Edge { path, tip: format!("M{} {end_y}h8l-4 7z", end_x - 4), class };
    }
    // A way past other rows, back, or to the side: around the right ends.
    let (begin_x, begin_y) = (from_x + NODE_WIDTH, from_y + NODE_HEIGHT / 2);
    let (end_x, end_y) = (to_x + NODE_WIDTH + 7, to_y + NODE_HEIGHT / 2);
    let far = begin_x.max(end_x) + 14 + (from_y.abs_diff(to_y) / ROW_HEIGHT).min(6) * 4;
    let path = format!("M{begin_x} {begin_y}C{far} {begin_y} {far} {end_y} {end_x} {end_y}");
    Edge { path, tip: format!("M{end_x} {}v8l-7 -4z", end_y - 4), class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_below_all_that_lead_to_it_and_loops_do_not_count() {
        let ways = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "b"), ("d", "a"), ("d", "d")];
        let group = Group {
            caption: String::new(),
            names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            ways: ways.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect(),
        };
        assert_eq!(rows(&group), BTreeMap::from([("a", 0), ("b", 2), ("c", 1), ("d", 3)]));
    }
}
