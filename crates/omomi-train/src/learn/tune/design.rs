//! Chooses which settings to try: a coarse grid first, then smaller and smaller steps around the best so far.

use std::fmt;
use std::str::FromStr;

use crate::learn::Settings;

/// A setting that is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Searched {
    /// The learning rate.
    Alpha,
    /// The evidence up to which a weight is 0.
    L1,
    /// The pull of weights towards 0.
    L2,
    /// The damping of the first steps.
    Beta,
    /// The number of passes. Each trial tries them one after the other.
    Passes,
}

/// Distance between the lines of the coarse grid, in powers of 2.
const GRID_STEP: f64 = 2.0;
/// The first and the last step around the best settings, in powers of 2: a factor of 2 and of 1.19.
const FIRST_STEP: f64 = 1.0;
const LAST_STEP: f64 = 0.25;

impl Searched {
    /// All settings, in the order in which they are searched.
    pub const ALL: [Self; 5] = [Self::Alpha, Self::L1, Self::L2, Self::Beta, Self::Passes];

    /// Returns the name of the setting, which is also the name of its flag.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Beta => "beta",
            Self::Passes => "passes",
        }
    }

    /// For a setting that can be 0, returns the power of 2 at and below which it becomes 0. An `l2` below 1 is
    /// negligible beside any curvature.
    const fn floor(self) -> Option<f64> {
        match self {
            Self::Alpha | Self::Beta | Self::Passes => None,
            Self::L1 => Some(-4.0),
            Self::L2 => Some(0.0),
        }
    }

    const fn of(self, settings: &Settings) -> f64 {
        match self {
            Self::Alpha => settings.alpha,
            Self::L1 => settings.l1,
            Self::L2 => settings.l2,
            Self::Beta => settings.beta,
            // It is no setting of the optimizer.
            Self::Passes => 1.0,
        }
    }

    /// Returns the value of this setting as a power of 2.
    fn exponent(self, settings: &Settings) -> f64 {
        let exponent = self.of(settings).log2();
        self.floor().map_or(exponent, |floor| exponent.max(floor))
    }

    /// Returns `settings` with this one set to a power of 2.
    fn put(self, settings: Settings, exponent: f64) -> Settings {
        let value = match self.floor() {
            Some(floor) if exponent <= floor => 0.0,
            _ => two_digits(exponent.exp2()),
        };
        match self {
            Self::Alpha => Settings { alpha: value, ..settings },
            Self::L1 => Settings { l1: value, ..settings },
            Self::L2 => Settings { l2: value, ..settings },
            Self::Beta => Settings { beta: value, ..settings },
            Self::Passes => settings,
        }
    }

    fn moved(self, settings: Settings, step: f64) -> Settings {
        self.put(settings, self.exponent(&settings) + step)
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Searched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|searched| searched.name() == text);
        named.ok_or_else(|| format!("expected alpha, l1, l2, beta or passes, found `{text}`"))
    }
}

/// Rounds a number to two digits, as people would set it.
fn two_digits(value: f64) -> f64 {
    let text = format!("{value:.1e}");
    text.parse().unwrap_or(value)
}

/// Chooses which settings to try next. The same losses always give the same settings.
#[derive(Debug)]
pub(super) struct Design {
    searched: Vec<Searched>,
    /// All settings returned so far, in order. The search begins at the first.
    given: Vec<Settings>,
    begun: bool,
    step: f64,
    best: Option<(Settings, f64)>,
}

impl Design {
    pub(super) fn new(start: Settings, searched: &[Searched]) -> Self {
        let mut searched: Vec<Searched> = searched.iter().copied().filter(|&one| one != Searched::Passes).collect();
        searched.sort_unstable();
        searched.dedup();
        Self { searched, given: vec![start], begun: false, step: FIRST_STEP, best: None }
    }

    /// Returns the settings to try next, which may be tried in parallel. The most important come first. Returns none
    /// when the search has converged. Pass their losses to [`learn`](Self::learn) before the next call.
    pub(super) fn next(&mut self) -> Vec<Settings> {
        if !self.begun {
            self.begun = true;
            let start = self.given[0];
            let mut first = vec![start];
            first.extend(self.give(self.grid_around(start)));
            return first;
        }
        while self.step >= LAST_STEP {
            let Some((best, _)) = self.best else { break };
            let (step, mut around) = (self.step, Vec::new());
            for &searched in &self.searched {
                around.extend([step, -step].map(|step| searched.moved(best, step)));
            }
            let next = self.give(around);
            if !next.is_empty() {
                return next;
            }
            self.step /= 2.0;
        }
        Vec::new()
    }

    /// Records the losses of settings that were tried. If none of them is better than the best so far, the step is
    /// halved.
    pub(super) fn learn(&mut self, tried: &[(Settings, f64)]) {
        let before = self.best;
        for &(settings, loss) in tried {
            if self.best.is_none_or(|(_, best)| loss < best) {
                self.best = Some((settings, loss));
            }
        }
        if before.is_some() && self.best == before {
            self.step /= 2.0;
        }
    }

    /// Returns a coarse grid over the first two settings that are searched. Points one step away come before points two
    /// steps away.
    fn grid_around(&self, start: Settings) -> Vec<Settings> {
        let steps = [0.0, GRID_STEP, -GRID_STEP];
        let move_by = |settings, searched: Option<&Searched>, step| match searched {
            Some(searched) if step != 0.0 => searched.moved(settings, step),
            _ => settings,
        };
        let mut crossings = Vec::new();
        for one in steps {
            for other in steps {
                let settings = move_by(start, self.searched.first(), one);
                let settings = move_by(settings, self.searched.get(1), other);
                crossings.push((one.abs() + other.abs(), settings));
            }
        }
        // The sort is stable.
        crossings.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        crossings.into_iter().map(|(_, settings)| settings).collect()
    }

    /// Returns those of `wanted` that are valid and were not returned before.
    fn give(&mut self, wanted: Vec<Settings>) -> Vec<Settings> {
        let mut given = Vec::new();
        for settings in wanted {
            if !self.given.contains(&settings) && settings.check().is_ok() {
                self.given.push(settings);
                given.push(settings);
            }
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Settings = Settings { alpha: 0.05, beta: 1.0, l1: 1.0, l2: 0.0 };

    /// Runs a search with a loss function until it converges. Returns all trials.
    fn run(searched: &[Searched], loss: impl Fn(&Settings) -> f64) -> Vec<(Settings, f64)> {
        let mut design = Design::new(START, searched);
        let mut all = Vec::new();
        loop {
            let tried: Vec<(Settings, f64)> =
                design.next().into_iter().map(|settings| (settings, loss(&settings))).collect();
            if tried.is_empty() {
                return all;
            }
            design.learn(&tried);
            all.extend(tried);
        }
    }

    fn best(tried: &[(Settings, f64)]) -> Settings {
        tried.iter().min_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap().0
    }

    #[test]
    fn the_start_and_a_coarse_grid_come_first() {
        let mut design = Design::new(START, &Searched::ALL[..3]);
        let first = design.next();
        assert_eq!(first.len(), 9);
        assert_eq!(first[0], START);
        let of = |settings: &[Settings]| settings.iter().map(|one| (one.alpha, one.l1)).collect::<Vec<_>>();
        assert_eq!(of(&first[1..5]), [(0.05, 4.0), (0.05, 0.25), (0.2, 1.0), (0.012, 1.0)]);
        assert!(first.iter().all(|settings| settings.l2 == 0.0));
    }

    #[test]
    fn the_search_comes_close_to_the_best() {
        // A bowl around alpha 0.3, l1 0.1 and l2 6.
        let square = |value: f64, best: f64| (value.max(1e-3) / best).log2().powi(2);
        let loss = |one: &Settings| square(one.alpha, 0.3) + 0.5 * square(one.l1, 0.1) + 0.01 * square(one.l2, 6.0);
        let tried = run(&Searched::ALL[..3], loss);
        // 20 trials come within a factor of 2 of the best `alpha` and `l1`.
        let found = best(&tried[..20]);
        assert!((0.15..0.6).contains(&found.alpha) && (0.05..0.2).contains(&found.l1), "{found:?}");
        let found = best(&tried);
        assert!((0.25..0.36).contains(&found.alpha) && (0.08..0.13).contains(&found.l1), "{found:?}");
        assert!((4.0..9.0).contains(&found.l2), "{found:?}");
        assert!(tried.len() < 80, "{}", tried.len());
    }

    #[test]
    fn nothing_is_tried_twice_and_other_settings_stay_the_same() {
        let tried = run(&[Searched::L1], |settings| settings.l1);
        for (index, (settings, _)) in tried.iter().enumerate() {
            assert!(!tried[..index].iter().any(|(earlier, _)| earlier == settings));
            assert_eq!(Settings { l1: START.l1, ..*settings }, START);
        }
        assert_eq!(best(&tried).l1, 0.0);
    }

    #[test]
    fn settings_are_parsed_from_their_names() {
        for searched in Searched::ALL {
            assert_eq!(searched.name().parse(), Ok(searched));
        }
        assert!("gamma".parse::<Searched>().unwrap_err().contains("found `gamma`"));
    }
}
