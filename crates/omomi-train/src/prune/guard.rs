//! Stops a measure that would drop too large a share of a field, for example because a live list is truncated or
//! because a log has a time in the year 2099.

use super::PruneError;
use crate::learn::StateModel;

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
        if self.allow || gone as f64 <= self.max_dropped_share * of as f64 {
            return Ok(());
        }
        let max_share = self.max_dropped_share;
        Err(PruneError::MostWouldGo { measure, field: field.to_owned(), dropped: gone, of, max_share, who })
    }
}
