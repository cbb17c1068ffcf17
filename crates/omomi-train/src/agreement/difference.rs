//! What changes for a server from one contract to another, field by field.

use omomi::contract::{Buckets, Contract, Field, FieldKind};

use super::float;

/// What a server's team has to do about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Change the declaration, or what is sent. Otherwise binding fails, or texts are unseen.
    Change,
    /// Look whether what is sent and logged still fits. No machine can check that.
    Check,
    /// Nothing.
    Nothing,
}

/// One change from a contract to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What a server's team has to do about it.
    pub kind: ChangeKind,
    /// The field, the cross, or the part of the contract that changed.
    pub place: String,
    /// What changed, and what to do.
    pub text: String,
}

/// What differs between two contracts: changes of the declaration first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The changes. None if the contracts are equal, and ask for the same form of texts.
    pub changes: Vec<Change>,
}

/// Compares the contract that a server was made for, `old`, with another one. How logs are read does not count, except
/// for the form of texts that a server must send.
#[must_use]
pub fn compare(old: &Contract, new: &Contract) -> Difference {
    let mut found = Found(Vec::new());
    for (index, field) in new.fields().iter().enumerate() {
        match old.fields().iter().position(|other| other.name == field.name) {
            Some(before) => {
                found.fields(&old.fields()[before], field);
                found.texts(field, old.reading().fields[before].nfc, new.reading().fields[index].nfc);
            }
            None => found.added(field, new.reading().fields[index].nfc),
        }
    }
    for field in old.fields().iter().filter(|field| new.field(&field.name).is_none()) {
        found.add(
            ChangeKind::Nothing,
            &field.name,
            "is no longer read; the declaration may keep or drop it".to_owned(),
        );
    }
    found.crosses(old, new);
    found.whole(old, new);
    found.0.sort_by_key(|change| change.kind);
    Difference { changes: found.0 }
}

impl Difference {
    /// Whether the two contracts are equal, and ask for the same form of texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the changes of one kind.
    pub fn of_kind(&self, kind: ChangeKind) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.kind == kind)
    }
}

impl ChangeKind {
    /// All kinds, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Change, Self::Check, Self::Nothing];

    /// Returns the word for this kind: `change`, `check` or `nothing`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Check => "check",
            Self::Nothing => "nothing",
        }
    }
}

struct Found(Vec<Change>);

impl Found {
    fn add(&mut self, kind: ChangeKind, place: &str, text: String) {
        self.0.push(Change { kind, place: place.to_owned(), text });
    }

    /// Adds a change unless both texts are the same.
    fn step(&mut self, kind: ChangeKind, place: &str, what: &str, old: &str, new: &str) {
        if old != new {
            self.add(kind, place, format!("{what}: {old} -> {new}"));
        }
    }

    fn added(&mut self, field: &Field, nfc: bool) {
        let many = if field.many { ", many" } else { "" };
        let number = match &field.kind {
            FieldKind::Number { unit, range, .. } => format!(" in {unit}, {}", range_text(*range)),
            FieldKind::Id | FieldKind::Text => String::new(),
        };
        let nfc = if nfc { ", in Unicode NFC" } else { "" };
        let text = format!(
            "declare it and send it: {}, {}{many}{number}{nfc}; {}",
            field.side.word(),
            field.kind.word(),
            field.meaning
        );
        self.add(ChangeKind::Change, &field.name, text);
    }

    fn fields(&mut self, old: &Field, new: &Field) {
        let name = &new.name;
        self.step(ChangeKind::Change, name, "side", old.side.word(), new.side.word());
        self.step(ChangeKind::Change, name, "type", old.kind.word(), new.kind.word());
        let many = |field: &Field| if field.many { "many values" } else { "one value" };
        self.step(ChangeKind::Change, name, "values in a row", many(old), many(new));
        if let (
            FieldKind::Number { unit, range, buckets },
            FieldKind::Number { unit: new_unit, range: new_range, buckets: new_buckets },
        ) = (&old.kind, &new.kind)
        {
            self.step(ChangeKind::Change, name, "unit", unit, new_unit);
            self.step(ChangeKind::Change, name, "range", &range_text(*range), &range_text(*new_range));
            self.step(ChangeKind::Nothing, name, "buckets", &bucket_text(buckets), &bucket_text(new_buckets));
        }
        self.step(ChangeKind::Check, name, "meaning", &old.meaning, &new.meaning);
        self.step(ChangeKind::Check, name, "how a log of the server may write it", old.log.word(), new.log.word());
        if old.category_limit != new.category_limit {
            self.add(ChangeKind::Nothing, name, "the limit of its categories".to_owned());
        }
        let unseen = [old, new].map(|field| field.unseen.word());
        self.step(ChangeKind::Nothing, name, "what unseen categories and missing values add", unseen[0], unseen[1]);
    }

    fn texts(&mut self, field: &Field, old_nfc: bool, new_nfc: bool) {
        let text = match (old_nfc, new_nfc) {
            (false, true) => "send it in Unicode NFC: training normalizes it now, and scoring does not",
            (true, false) => "send it as the log has it: training no longer normalizes it to Unicode NFC",
            _ => return,
        };
        self.add(ChangeKind::Change, &field.name, text.to_owned());
    }

    fn crosses(&mut self, old: &Contract, new: &Contract) {
        let names = |contract: &Contract| -> Vec<String> {
            contract.crosses().iter().map(|cross| contract.cross_name(cross)).collect()
        };
        let (old_names, new_names) = (names(old), names(new));
        let limit = |contract: &Contract, index: usize| contract.crosses()[index].category_limit;
        for (index, name) in new_names.iter().enumerate() {
            match old_names.iter().position(|other| other == name) {
                None => {
                    self.add(ChangeKind::Nothing, name, "is a new cross; the library makes its features".to_owned())
                }
                Some(before) => {
                    if limit(old, before) != limit(new, index) {
                        self.add(ChangeKind::Nothing, name, "the limit of its categories".to_owned());
                    }
                }
            }
        }
        for name in old_names.iter().filter(|name| !new_names.contains(name)) {
            self.add(ChangeKind::Nothing, name, "is no cross any more".to_owned());
        }
    }

    fn whole(&mut self, old: &Contract, new: &Contract) {
        self.step(ChangeKind::Check, "label", "what the probability is of", old.label(), new.label());
        self.step(ChangeKind::Nothing, "name", "of the contract", old.name(), new.name());
        if self.0.is_empty() && old != new {
            // All parts are the same ones.
            let text = "fields or crosses have another order, which is the order of the sums".to_owned();
            self.add(ChangeKind::Nothing, "order", text);
        }
    }
}

fn range_text([min, max]: [f64; 2]) -> String {
    format!("{} to {}", float(min), float(max))
}

fn bucket_text(buckets: &Buckets) -> String {
    match buckets {
        Buckets::Log2 => "a bucket per power of 2".to_owned(),
        Buckets::Edges(edges) => {
            format!("edges {}", edges.iter().map(|&edge| float(edge)).collect::<Vec<_>>().join(" "))
        }
    }
}
