//! Reads JSON lines: one object per row.
//!
//! Each line is parsed on its own, so a malformed line costs only its row. Values go directly into the columns, so a
//! good line needs no allocation.

use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_core::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::LogError;
use super::builder::{BatchBuilder, Scalar};
use super::csv::other_format;
use super::error::{BadRow, BadRows, RowFault};
use super::files::read_failure;
use super::lines::Lines;
use super::partitions::Partitions;
use super::wanted_columns::{Target, Wanted};

pub(super) struct JsonLinesReader {
    file: PathBuf,
    lines: Lines,
    keys: Keys,
    /// Columns that the path of the file names, each with the index of its key. They are read where a row lacks the
    /// key.
    partitions: Vec<(usize, Target, Vec<u8>)>,
    many_separator: char,
}

/// The wanted keys of one object, sorted by name, and which of them were found so far.
struct Keys {
    wanted: Vec<WantedKey>,
    /// Index in `wanted` of the key that was found last.
    previous: usize,
    /// All keys of the first row, for the error message about a missing key.
    first_row: Vec<String>,
}

/// Deepest nesting of a wanted key. Names of columns are short, so this is no limit in practice.
const MAX_DEPTH: usize = 16;

struct WantedKey {
    name: String,
    /// What the value is for: several purposes if an extra column is also a column of the contract, none if only keys
    /// of its object are wanted.
    targets: Vec<Target>,
    /// The wanted keys of the value, if it is an object.
    inner: Option<Box<Keys>>,
    /// Whether the column can also be found under another path, because its name has dots.
    has_other_paths: bool,
    /// Number of the last row that had the key, from 1, or 0 if no row had it.
    last_row: u64,
    /// Index of the key that followed this one last time. Lines usually have their keys in the same order, so it is
    /// tried first.
    next: usize,
}

impl Keys {
    /// The keys of the columns. A name with dots is wanted as it is, and also as a path into nested objects.
    fn new(columns: &[(String, Target)]) -> Self {
        let mut keys = Self::none();
        for (name, target) in columns {
            keys.add(&[name], *target, name.contains('.'));
            // Any of the dots may lead into an object: `a.b.c` is `a` > `b.c`, `a.b` > `c` or `a` > `b` > `c`.
            keys.add_nested(name, &mut Vec::new(), *target);
        }
        keys
    }

    fn none() -> Self {
        Self { wanted: Vec::new(), previous: 0, first_row: Vec::new() }
    }

    fn add_nested<'a>(&mut self, name: &'a str, outer: &mut Vec<&'a str>, target: Target) {
        if outer.len() == MAX_DEPTH {
            return;
        }
        if let Some((first, rest)) = name.split_once('.') {
            outer.push(first);
            let path: Vec<&str> = outer.iter().copied().chain([rest]).collect();
            self.add(&path, target, true);
            self.add_nested(rest, outer, target);
            outer.pop();
        }
    }

    fn add(&mut self, path: &[&str], target: Target, has_other_paths: bool) {
        let Some((name, inner)) = path.split_first() else { return };
        let position = self.wanted.binary_search_by(|wanted| wanted.name.as_str().cmp(name)).unwrap_or_else(|place| {
            let name = (*name).to_owned();
            let key =
                WantedKey { name, targets: Vec::new(), inner: None, has_other_paths: false, last_row: 0, next: 0 };
            self.wanted.insert(place, key);
            place
        });
        let key = &mut self.wanted[position];
        if inner.is_empty() {
            key.targets.push(target);
            key.has_other_paths |= has_other_paths;
        } else {
            key.inner.get_or_insert_with(|| Box::new(Self::none())).add(inner, target, has_other_paths);
        }
    }

    /// Adds the columns that at least one row had to `seen`.
    fn seen(&self, seen: &mut Vec<Target>) {
        for key in self.wanted.iter().filter(|key| key.last_row > 0) {
            seen.extend(&key.targets);
            if let Some(inner) = &key.inner {
                inner.seen(seen);
            }
        }
    }

    fn position(&mut self, key: &str) -> Option<usize> {
        let guess = self.wanted[self.previous].next;
        let position = if self.wanted[guess].name == key {
            guess
        } else {
            self.wanted.binary_search_by(|wanted| wanted.name.as_str().cmp(key)).ok()?
        };
        self.wanted[self.previous].next = position;
        self.previous = position;
        Some(position)
    }
}

impl WantedKey {
    /// Whether the value is a column itself, and can be found in no other place.
    #[inline]
    fn is_plain(&self) -> bool {
        self.inner.is_none() && !self.has_other_paths
    }

    /// A column that the value, or one inside it, is for.
    fn first_target(&self) -> Target {
        let inner = || self.inner.as_ref()?.wanted.first().map(Self::first_target);
        self.targets.first().copied().or_else(inner).unwrap_or(Target::Label)
    }
}

impl JsonLinesReader {
    pub(super) fn open(
        file: &Path,
        mut input: Box<dyn BufRead + Send>,
        wanted: &Wanted,
        many_separator: char,
    ) -> Result<Self, LogError> {
        let start = input.fill_buf().map_err(|error| read_failure(file, 0, error))?;
        if let Some(found) = other_format(start) {
            return Err(LogError::OtherFormat { file: file.to_owned(), expected: "JSON lines", found });
        }
        let keys = Keys::new(wanted.columns());
        let mut partitions = Partitions::of(file);
        for (name, target) in wanted.columns() {
            partitions.take(name, *target);
        }
        partitions.check(file, wanted, many_separator)?;
        let partitions = partitions.cells().iter().map(|(target, text)| {
            let key = keys.wanted.iter().position(|key| key.targets.contains(target)).unwrap_or(0);
            (key, *target, text.clone().unwrap_or_default().into_bytes())
        });
        Ok(Self {
            file: file.to_owned(),
            lines: Lines::new(input),
            partitions: partitions.collect(),
            many_separator,
            keys,
        })
    }

    /// How many rows were read, bad rows included.
    pub(super) fn row(&self) -> u64 {
        self.lines.row
    }

    /// Whether any row follows, good or bad, of a reader that has not read a row and will not. A file that cannot be
    /// read on counts as one with rows: reading the rows reports why.
    pub(super) fn has_rows(mut self) -> bool {
        self.lines.next().map_or(true, |line| line.is_some())
    }

    /// The columns that at least one row had.
    pub(super) fn seen(&self) -> Vec<Target> {
        let mut seen = Vec::new();
        self.keys.seen(&mut seen);
        seen.extend(self.partitions.iter().map(|(_, target, _)| *target));
        seen
    }

    /// All keys of the first row.
    pub(super) fn first_row_keys(&self) -> &[String] {
        &self.keys.first_row
    }

    /// Reads rows until the batch is full or the file ends. Returns whether the file may have more rows.
    pub(super) fn fill(
        &mut self,
        batch: &mut BatchBuilder,
        wanted: &Wanted,
        bad_rows: &mut BadRows,
    ) -> Result<bool, LogError> {
        while batch.rows_left() > 0 {
            let line = self.lines.next().map_err(|error| read_failure(&self.file, self.lines.row, error))?;
            let Some(is_short) = line else { return Ok(false) };
            let taken = if is_short { self.take_row(batch) } else { Err((None, RowFault::TooLong)) };
            if let Err((target, fault)) = taken {
                batch.discard_row();
                batch.note_bad_rows(1);
                bad_rows.add(BadRow {
                    file: self.file.clone(),
                    row: self.lines.row,
                    column: target.map(|target| wanted.name(target).to_owned()),
                    fault,
                })?;
            }
        }
        Ok(true)
    }

    fn take_row(&mut self, batch: &mut BatchBuilder) -> Result<(), (Option<Target>, RowFault)> {
        let line = std::str::from_utf8(&self.lines.line).map_err(|_| (None, RowFault::NotUtf8))?;
        let mut fault = None;
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let visitor = RowVisitor { batch, keys: &mut self.keys, row: self.lines.row, fault: &mut fault };
        let parsed = deserializer.deserialize_map(visitor).and_then(|()| deserializer.end());
        parsed.map_err(|error| (None, not_json(&error, line)))?;
        if let Some((target, fault)) = fault {
            return Err((Some(target), fault));
        }
        for (key, target, text) in &self.partitions {
            if self.keys.wanted[*key].last_row != self.lines.row {
                let pushed = batch.push_csv_cell(*target, text, self.many_separator);
                pushed.map_err(|fault| (Some(*target), fault))?;
            }
        }
        batch.finish_row(self.lines.line.len()).map_err(|(target, fault)| (Some(target), fault))
    }
}

/// Shortens the parser's message. The parser reports a line and a column, but a row is one line, so the column is
/// enough. Tells JSON that is not one object per line.
fn not_json(error: &serde_json::Error, line: &str) -> RowFault {
    let line = line.trim_ascii();
    if line.starts_with('[') {
        let message = "the line begins a list; write each object on a line of its own, such as with jq -c '.[]'";
        return RowFault::NotJson { message: message.to_owned() };
    }
    if line == "{" || (error.is_eof() && line.ends_with([',', '{'])) {
        let message = "the object goes on after the line; write it on one line, such as with jq -c .";
        return RowFault::NotJson { message: message.to_owned() };
    }
    let message = error.to_string();
    let words = message.split(" at line ").next().unwrap_or(&message);
    RowFault::NotJson { message: format!("{words} at byte {}", error.column()) }
}

/// Adds the cells of one object to the batch. Notes the first fault of a cell and continues, because the rest of the
/// line must still be valid JSON.
struct RowVisitor<'a> {
    batch: &'a mut BatchBuilder,
    keys: &'a mut Keys,
    row: u64,
    fault: &'a mut Option<(Target, RowFault)>,
}

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(position) = map.next_key_seed(KeySeed { keys: self.keys, row: self.row })? {
            let Some(position) = position else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let key = &mut self.keys.wanted[position];
            if key.last_row == self.row {
                self.fault.get_or_insert((key.first_target(), RowFault::RepeatedKey));
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            key.last_row = self.row;
            if key.is_plain() {
                let cell = Cell { batch: self.batch, targets: &key.targets, in_list: false, fault: self.fault };
                map.next_value_seed(cell)?;
                continue;
            }
            let WantedKey { targets, inner, has_other_paths, .. } = key;
            if *has_other_paths && let Some(&target) = targets.iter().find(|&&target| self.batch.has_value(target)) {
                self.fault.get_or_insert((target, RowFault::RepeatedKey));
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let cell = Cell { batch: self.batch, targets, in_list: false, fault: self.fault };
            match inner {
                Some(keys) if cell.targets.is_empty() => {
                    map.next_value_seed(NestedCell { cell, keys, row: self.row })?;
                }
                _ => map.next_value_seed(cell)?,
            }
        }
        Ok(())
    }
}

/// A value that is wanted only for what is inside it.
struct NestedCell<'a> {
    cell: Cell<'a>,
    keys: &'a mut Keys,
    row: u64,
}

impl NestedCell<'_> {
    /// Notes that the value is no object, so that what is wanted cannot be inside it.
    fn fault<E>(self, found: String) -> Result<(), E> {
        let target = self.keys.wanted.first().map_or(Target::Label, WantedKey::first_target);
        self.cell.fault.get_or_insert((target, RowFault::Cell { expected: "an object with this member", found }));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for NestedCell<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NestedCell<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.fault(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.fault(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.fault(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.fault(value.to_string())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.fault(Scalar::Text(value).to_found())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.fault("a list".to_owned())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { cell, keys, row } = self;
        RowVisitor { batch: cell.batch, keys, row, fault: cell.fault }.visit_map(map)
    }
}

/// Finds a key among the wanted keys.
struct KeySeed<'a> {
    keys: &'a mut Keys,
    row: u64,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        if self.row == 1 {
            self.keys.first_row.push(key.to_owned());
        }
        Ok(self.keys.position(key))
    }
}

/// Adds one value to the batch.
struct Cell<'a> {
    batch: &'a mut BatchBuilder,
    targets: &'a [Target],
    in_list: bool,
    fault: &'a mut Option<(Target, RowFault)>,
}

impl Cell<'_> {
    fn scalar<E>(self, scalar: Scalar<'_>) -> Result<(), E> {
        for &target in self.targets {
            if !self.in_list && self.batch.is_many(target) {
                return self.fault(target, scalar.to_found());
            }
            if let Err(fault) = self.batch.push_scalar(target, scalar) {
                self.fault.get_or_insert((target, fault));
            }
        }
        Ok(())
    }

    fn fault<E>(self, target: Target, found: String) -> Result<(), E> {
        let expected = self.batch.expected(target);
        self.fault.get_or_insert((target, RowFault::Cell { expected, found }));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    /// Skips `null`: it is a missing value, or in a list no category.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(i64::try_from(value).map_or(Scalar::Unsigned(value), Scalar::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let single = self.targets.iter().copied().find(|&target| self.in_list || !self.batch.is_many(target));
        if let Some(target) = single {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return self.fault(target, "a list".to_owned());
        }
        loop {
            let (batch, fault) = (&mut *self.batch, &mut *self.fault);
            let cell = Cell { batch, targets: self.targets, in_list: true, fault };
            if list.next_element_seed(cell)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        match self.targets.first() {
            Some(&target) => self.fault(target, "an object".to_owned()),
            None => Ok(()),
        }
    }
}
