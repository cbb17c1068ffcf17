//! Stops a measure that would drop more of a field than anybody expects: a list that broke off, or a time in the year 2099.

use super::PruneError;
use crate::learn::StateModel;

/// Most of a field's categories that a measure may drop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Guard {
    /// Greatest share of those that have impressions.
    pub(super) max_dropped_share: f64,
    /// Whether any share may go.
    pub(super) allow: bool,
}

impl Guard {
    /// Categories of `field` that have impressions: how many of them are in `dropped`, and how many there are.
    pub(super) fn count(&self, model: &StateModel, field: &str, dropped: &[bool]) -> (u64, u64) {
        let fields = model.metadata().contract.fields();
        let group = fields.iter().position(|other| other.name == field);
        let seen = model.features().iter().zip(dropped);
        let seen = seen.filter(|(feature, _)| Some(usize::from(feature.group)) == group && feature.impressions > 0);
        seen.fold((0, 0), |(gone, of), (_, &dropped)| (gone + u64::from(dropped), of + 1))
    }

    /// Refuses `dropped` if too much of `field` is in it; `who` must act then.
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
