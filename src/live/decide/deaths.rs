//! Deaths of processes, and how much of the blame is on one content.

use crate::store::Named;

/// How often a process died while a content was loaded or on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) struct Deaths {
    /// The content. Its digest is not known if the process died before it had read the file.
    pub(in crate::live) what: Named,
    pub(in crate::live) count: u32,
    /// Deaths with other generations since the first one with this one.
    pub(in crate::live) others: u32,
}

impl Deaths {
    /// The deaths for which the content is blamed. A process that also dies with other generations has another problem,
    /// so up to half of the deaths are forgiven, and never all.
    pub(in crate::live) fn blame(&self) -> u32 {
        self.count - self.others.min(self.count) / 2
    }
}

/// Whether two names mean one content, as far as deaths are concerned. What is known about one content says nothing
/// about another one under its name.
pub(in crate::live) fn is_same(left: Named, right: Named) -> bool {
    match (left.digest, right.digest) {
        (None, None) => left.generation == right.generation,
        (left, right) => left == right,
    }
}

/// Whether two names can mean one content.
pub(in crate::live) fn is_one(left: Named, right: Named) -> bool {
    match (left.digest, right.digest) {
        (Some(left), Some(right)) => left == right,
        _ => left.generation == right.generation,
    }
}

/// Counts the death of a process with `what`, or with something that is known to be good.
pub(in crate::live) fn count(all: &mut Vec<Deaths>, what: Option<Named>) {
    let mut is_known = false;
    for deaths in all.iter_mut() {
        match what {
            Some(what) if is_same(deaths.what, what) => {
                deaths.count = deaths.count.saturating_add(1);
                is_known = true;
            }
            _ => deaths.others = deaths.others.saturating_add(1),
        }
    }
    if let Some(what) = what.filter(|_| !is_known) {
        all.push(Deaths { what, count: 1, others: 0 });
    }
}

/// Sums the deaths of one content over several lists.
pub(in crate::live) fn sum<'a>(all: impl IntoIterator<Item = &'a Deaths>, what: Named) -> Deaths {
    let mut sum = Deaths { what, count: 0, others: 0 };
    for deaths in all.into_iter().filter(|deaths| is_same(deaths.what, what)) {
        sum.count = sum.count.saturating_add(deaths.count);
        sum.others = sum.others.saturating_add(deaths.others);
    }
    sum
}
