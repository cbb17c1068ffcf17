//! Finds features to drop because of their category: not in the live list, not seen for a long time, seen too seldom,
//! or beyond the number of categories that the contract allows.
//!
//! A guard stops a measure that would drop too large a share of a field, for example because a live list is truncated
//! or because a log has a time in the year 2099.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::PruneError;
use super::error::NFC_REMEDY;
use super::live_list::{self, ListField, LiveList};
use crate::learn::StateModel;
use crate::learn::state::{StateReader, StateRow, split_categories};
use crate::log::{key_of_category, key_of_name, nfc};
use crate::pack::group_names;
use omomi::contract::{Contract, FieldKind, OverLimit};

/// A setting that may differ between fields and crosses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByField<T> {
    /// The setting for all fields and crosses that `named` does not contain.
    pub others: Option<T>,
    /// The settings for single fields and crosses, by name.
    pub named: BTreeMap<String, T>,
}

impl<T> Default for ByField<T> {
    fn default() -> Self {
        Self { others: None, named: BTreeMap::new() }
    }
}

impl<T: Copy> ByField<T> {
    /// Whether there is no setting at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.others.is_none() && self.named.is_empty()
    }

    /// Formats the settings as text, each one with `text`.
    pub(super) fn describe(&self, text: impl Fn(&T) -> String) -> String {
        let named = self.named.iter().map(|(field, setting)| format!("{field}: {}", text(setting)));
        self.others.iter().map(&text).chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Returns the setting of each field and cross, in contract order. Fails if a name is not in the contract.
    fn of_groups(&self, contract: &Contract) -> Result<Vec<Option<T>>, PruneError> {
        let names = group_names(contract);
        if let Some(field) = self.named.keys().find(|field| !names.contains(field)) {
            return Err(PruneError::UnknownField { field: field.clone(), known: names });
        }
        Ok(names.iter().map(|name| self.named.get(name).copied().or(self.others)).collect())
    }
}

/// Tells for each feature, by number, whether it has fewer impressions than the minimum of its field.
pub(super) fn seldom_seen(model: &StateModel, min: &ByField<u64>) -> Result<Vec<bool>, PruneError> {
    let min = min.of_groups(&model.metadata().contract)?;
    let is_seldom = |group: u16, impressions: u64| min[usize::from(group)].is_some_and(|min| impressions < min);
    Ok(model.features().iter().map(|feature| is_seldom(feature.group, feature.impressions)).collect())
}

/// Tells for each feature, by number, whether it is dead: a category of the list's field that is not in the list, or a
/// cross that contains such a category. Also returns a warning if the list has a dropped category in another Unicode
/// form.
///
/// Fails if the list is unusable, if it matches no category of the state, or if it would drop too large a share.
pub(super) fn not_live(
    state: &Path,
    model: &StateModel,
    list: &LiveList,
    guard: &Guard,
) -> Result<(Vec<bool>, Option<String>), PruneError> {
    let contract = &model.metadata().contract;
    let unknown = || PruneError::UnknownField { field: list.field.clone(), known: group_names(contract) };
    let field = contract.field(&list.field).ok_or_else(unknown)?;
    if matches!(field.kind, FieldKind::Number { .. }) {
        return Err(PruneError::Setting {
            name: "the field of a live list",
            expected: "an id or a text".to_owned(),
            found: format!("the number `{}`", field.name),
        });
    }
    let place = contract.fields().iter().position(|other| other.name == field.name).ok_or_else(unknown)?;
    let reading = &contract.reading().fields[place];
    let live = live_list::read(&list.path, ListField { field, reading }, &list.csv)?;
    // Where the contract asks for NFC, a category in another form is one that no server sends.
    let composed: HashSet<Cow<'_, str>> = match reading.nfc {
        true => HashSet::new(),
        false => live.iter().filter(|entry| !entry.is_ascii()).map(|entry| nfc(entry)).collect(),
    };
    let (mut other_form_count, mut example) = (0_u64, String::new());
    let live_keys: OnceCell<HashSet<u64>> = OnceCell::new();
    let has_key = |key: u64| {
        let keys = || live.iter().filter_map(|category| key_of_category(field, category)).collect();
        live_keys.get_or_init(keys).contains(&key)
    };
    // Of rows that were logged as keys, the state has no other names.
    let is_dead = |category: &str| !live.contains(category) && !key_of_name(category).is_some_and(has_key);
    let dead = Dead::new(contract, &list.field, is_dead);
    let dropped = each_row(state, |row| {
        let is_dead = dead.has(row)?;
        if is_dead && row.field == list.field && !row.category.is_ascii() && composed.contains(&*nfc(row.category)) {
            other_form_count += 1;
            example.replace_range(.., row.category);
        }
        Ok(is_dead)
    })?;
    let (gone, of) = guard.count(model, &list.field, &dropped);
    if other_form_count > 0 && guard.refuses(gone, of) {
        let (path, field, count) = (list.path.clone(), list.field.clone(), other_form_count);
        return Err(PruneError::OtherUnicodeForm { path, field, count, example });
    }
    let warning = (other_form_count > 0).then(|| {
        format!(
            "{other_form_count} categories of `{}` are dropped, such as `{}`, although the live list has the same text \
             in another Unicode form; {NFC_REMEDY}",
            list.field,
            example.escape_default()
        )
    });
    if gone == of && !guard.allow {
        let (path, field, entries) = (list.path.clone(), list.field.clone(), live.len() as u64);
        return Err(PruneError::NoneLive { path, field, entries, categories: of });
    }
    guard.check(model, &list.field, &dropped, "the live list", "the owner of the list")?;
    Ok((dropped, warning))
}

/// Tells for each feature, by number, whether it was last seen too long before the end of the training window. The
/// limit is that of its field. If a field has a limit of its own in `longest`, crosses with an old category of it are
/// included. Features without a time are not.
///
/// Fails if the state has no times, or if too large a share of a field would be dropped.
pub(super) fn not_seen_since(
    state: &Path,
    model: &StateModel,
    longest: &ByField<Duration>,
    guard: &Guard,
) -> Result<Vec<bool>, PruneError> {
    let metadata = model.metadata();
    let contract = &metadata.contract;
    let longest_by_group = longest.of_groups(contract)?;
    let Some((begin_us, end_us)) = metadata.window_us else { return Err(PruneError::NoTimes) };
    let names = group_names(contract);
    let first_us = |longest: Duration| end_us.saturating_sub(i64::try_from(longest.as_micros()).unwrap_or(i64::MAX));
    let first_us: BTreeMap<&str, i64> = names
        .iter()
        .zip(&longest_by_group)
        .filter_map(|(name, longest)| Some((name.as_str(), first_us((*longest)?))))
        .collect();
    let is_old = |row: &StateRow<'_>| {
        let first_us = first_us.get(row.field);
        row.last_seen_us.zip(first_us).is_some_and(|(last_us, first_us)| last_us < *first_us)
    };
    // A cross is never seen later than its members. With one limit for all, an old member means an old cross; only
    // fields with a limit of their own need a look at the members.
    // A category may have its plain name in one place and that of its key in another.
    let mut dead: BTreeMap<&str, (HashSet<String>, HashSet<u64>)> = longest
        .named
        .keys()
        .filter(|name| contract.field(name).is_some())
        .map(|name| (&**name, Default::default()))
        .collect();
    let mut dropped = each_row(state, |row| {
        let is_old = is_old(row);
        if is_old && let Some((names, keys)) = dead.get_mut(row.field) {
            names.insert(row.category.to_owned());
            keys.insert(row.key);
        }
        Ok(is_old)
    })?;
    for (name, (names, keys)) in dead.iter().filter(|(_, (names, _))| !names.is_empty()) {
        let Some(field) = contract.field(name) else { continue };
        let has_key = |category: &str| key_of_category(field, category).is_some_and(|key| keys.contains(&key));
        let dead = Dead::new(contract, name, |category| names.contains(category) || has_key(category));
        let also = each_row(state, |row| dead.has(row))?;
        dropped.iter_mut().zip(also).for_each(|(dropped, also)| *dropped |= also);
    }
    let age = Duration::from_micros(end_us.saturating_sub(begin_us).max(1).cast_unsigned());
    for (field, longest) in contract.fields().iter().zip(&longest_by_group) {
        // Of values that come and go, a state of 20 days keeps 7 days of 20. So the older the state, the more may go.
        let expected = longest.map_or(1.0, |longest| longest.as_secs_f64() / age.as_secs_f64()).min(1.0);
        let guard = Guard { max_dropped_share: 1.0 - (1.0 - guard.max_dropped_share) * expected, ..*guard };
        guard.check(model, &field.name, &dropped, "--last-seen", "the owner of the log's time column")?;
    }
    Ok(dropped)
}

/// Tells for each feature, by number, whether it must be dropped because its field has more weights than the contract
/// allows. Drops those with the fewest impressions. Returns `None` if the contract has no such limit.
///
/// Fails if a field has too many weights and the contract says that this is an error.
pub(super) fn over_limit(model: &StateModel, weights: &[f64]) -> Result<Option<Vec<bool>>, PruneError> {
    let contract = &model.metadata().contract;
    let limits = contract.fields().iter().map(|field| field.category_limit);
    let limits: Vec<_> = limits.chain(contract.crosses().iter().map(|cross| cross.category_limit)).collect();
    if limits.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut dropped = vec![false; weights.len()];
    for (group, limit) in limits.into_iter().enumerate() {
        let Some(limit) = limit else { continue };
        let features = model.features().iter().zip(weights).enumerate();
        let own = features.filter(|(_, (feature, weight))| usize::from(feature.group) == group && **weight != 0.0);
        let mut own: Vec<(u64, usize)> = own.map(|(number, (feature, _))| (feature.impressions, number)).collect();
        let Some(max) = usize::try_from(limit.max).ok().filter(|&max| max < own.len()) else { continue };
        if limit.over == OverLimit::Error {
            let field = group_names(contract).swap_remove(group);
            return Err(PruneError::TooManyCategories { field, max: limit.max, found: own.len() as u64 });
        }
        let gone = own.len() - max;
        own.select_nth_unstable(gone);
        own[..gone].iter().for_each(|&(_, number)| dropped[number] = true);
    }
    Ok(Some(dropped))
}

/// Tells which rows of a state have a dead category of a field.
struct Dead<'a, F> {
    field: &'a str,
    /// The crosses that contain the field, by name: its index among the members, and the number of members.
    crosses: HashMap<String, (usize, usize)>,
    is_dead: F,
}

impl<'a, F: Fn(&str) -> bool> Dead<'a, F> {
    fn new(contract: &Contract, field: &'a str, is_dead: F) -> Self {
        let is_field = |&member: &usize| contract.fields()[member].name == field;
        let crosses = contract.crosses().iter().filter_map(|cross| {
            let place = cross.members.iter().position(is_field)?;
            Some((contract.cross_name(cross), (place, cross.members.len())))
        });
        Self { field, crosses: crosses.collect(), is_dead }
    }

    fn has(&self, row: &StateRow<'_>) -> Result<bool, PruneError> {
        if row.field == self.field {
            return Ok((self.is_dead)(row.category));
        }
        let Some(&(place, count)) = self.crosses.get(row.field) else { return Ok(false) };
        match split_categories(row.category).filter(|categories| categories.len() == count) {
            Some(categories) => Ok((self.is_dead)(&categories[place])),
            None => Err(PruneError::CrossCategory {
                field: row.field.to_owned(),
                category: row.category.to_owned(),
                expected: count,
            }),
        }
    }
}

/// Calls `visit` for each feature of a state and returns the answers, by number of the feature.
fn each_row(
    state: &Path,
    mut visit: impl FnMut(&StateRow<'_>) -> Result<bool, PruneError>,
) -> Result<Vec<bool>, PruneError> {
    let mut reader = StateReader::open(state)?;
    let mut answers = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows().filter(|row| !row.is_bias() && !row.is_default()) {
            answers.push(visit(&row)?);
        }
    }
    Ok(answers)
}

/// The limit on how many of a field's categories a measure may drop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Guard {
    /// Largest share of the categories with impressions that may be dropped.
    pub(super) max_dropped_share: f64,
    /// Whether any share may be dropped.
    pub(super) allow: bool,
}

impl Guard {
    /// Counts the categories of `field` that have impressions. Returns how many of them are in `dropped`, and how many
    /// there are.
    pub(super) fn count(&self, model: &StateModel, field: &str, dropped: &[bool]) -> (u64, u64) {
        let fields = model.metadata().contract.fields();
        let group = fields.iter().position(|other| other.name == field);
        let seen = model.features().iter().zip(dropped);
        let seen = seen.filter(|(feature, _)| Some(usize::from(feature.group)) == group && feature.impressions > 0);
        seen.fold((0, 0), |(gone, of), (_, &dropped)| (gone + u64::from(dropped), of + 1))
    }

    /// Whether dropping `gone` of `of` categories is an error.
    fn refuses(&self, gone: u64, of: u64) -> bool {
        !self.allow && gone as f64 > self.max_dropped_share * of as f64
    }

    /// Returns an error if too large a share of `field` is in `dropped`. The error says that `who` must act.
    pub(super) fn check(
        &self,
        model: &StateModel,
        field: &str,
        dropped: &[bool],
        measure: &'static str,
        who: &'static str,
    ) -> Result<(), PruneError> {
        let (gone, of) = self.count(model, field, dropped);
        if !self.refuses(gone, of) {
            return Ok(());
        }
        let max_share = self.max_dropped_share;
        Err(PruneError::MostWouldGo { measure, field: field.to_owned(), dropped: gone, of, max_share, who })
    }
}
