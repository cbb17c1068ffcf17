//! The true effects of a generated log: how much each category and number adds to the logit.

use super::clock::DAYS;
use super::draw::{Draw, Subject};
use super::row::{Row, Rows};
use super::vocabulary as texts;
use super::world::ADVERTISERS;

/// Standard deviation of the effect of one value of each field, on the logit scale.
mod sd {
    pub(super) const USER: f64 = 0.20;
    pub(super) const DEVICE: f64 = 0.25;
    pub(super) const OS: f64 = 0.15;
    pub(super) const REGION: f64 = 0.10;
    pub(super) const SEGMENT: f64 = 0.30;
    pub(super) const INTEREST: f64 = 0.05;
    pub(super) const HOUR: f64 = 0.10;
    pub(super) const SITE: f64 = 0.60;
    pub(super) const SLOT: f64 = 0.45;
    pub(super) const SIZE: f64 = 0.20;
    pub(super) const EXCHANGE: f64 = 0.15;
    pub(super) const CREATIVE: f64 = 0.35;
    pub(super) const CAMPAIGN: f64 = 0.30;
    pub(super) const ADVERTISER: f64 = 0.40;
    pub(super) const CATEGORY: f64 = 0.40;
    pub(super) const FORMAT: f64 = 0.90;
    pub(super) const THEME: f64 = 0.20;
    pub(super) const LANDING: f64 = 0.15;
    /// The change of a campaign's effect from one day to the next.
    pub(super) const DAILY_STEP: f64 = 0.15;
    pub(super) const SEGMENT_CATEGORY: f64 = 0.35;
    pub(super) const SLOT_FORMAT: f64 = 0.30;
    pub(super) const DEVICE_HOUR: f64 = 0.10;
}

/// Added to the logit for each doubling of the floor price over [`PRICE_CENTRE`]: expensive slots are more visible.
const PRICE_SLOPE: f64 = 0.10;
const PRICE_CENTRE: f64 = 60.0;
/// Most doublings, up or down, that have an effect.
const PRICE_REACH: f64 = 4.0;
/// Added to the logit per unit of ln(1 + age of the creative in days): users get tired of a creative.
const AGE_SLOPE: f64 = -0.12;

/// The effects of all categories of all fields.
pub(super) struct Effects {
    device: Vec<f64>,
    os: Vec<f64>,
    region: Vec<f64>,
    segment: Vec<f64>,
    interest: Vec<f64>,
    hour: Vec<f64>,
    site: Vec<f64>,
    slot: Vec<f64>,
    size: Vec<f64>,
    exchange: Vec<f64>,
    creative: Vec<f64>,
    /// The effect of each campaign on each day, including its daily walk.
    campaign: Vec<[f32; DAYS]>,
    advertiser: Vec<f64>,
    category: Vec<f64>,
    format: Vec<f64>,
    theme: Vec<f64>,
    landing: Vec<f64>,
    segment_category: Pairwise,
    slot_format: Pairwise,
    device_hour: Pairwise,
}

impl Effects {
    pub(super) fn new(seed: u64, rows: &Rows) -> Effects {
        let world = &rows.world;
        // Logs of a given seed depend on the numbers of the fields: append new ones, never renumber.
        let effects = |field: u64, count: usize, sd: f64| -> Vec<f64> {
            let mut draw = Draw::new(seed, Subject::Effect, field);
            (0..count).map(|_| sd * draw.normal()).collect()
        };
        Effects {
            device: effects(1, texts::DEVICES.len(), sd::DEVICE),
            os: effects(2, texts::OSES.len(), sd::OS),
            region: effects(3, texts::REGIONS.len(), sd::REGION),
            segment: effects(4, texts::SEGMENTS.len(), sd::SEGMENT),
            interest: effects(5, texts::INTERESTS.len(), sd::INTEREST),
            hour: effects(6, 24, sd::HOUR),
            site: effects(7, world.sites.len(), sd::SITE),
            slot: effects(8, texts::SLOTS.len(), sd::SLOT),
            size: effects(9, texts::SIZES.len(), sd::SIZE),
            exchange: effects(10, texts::EXCHANGES.len(), sd::EXCHANGE),
            creative: effects(11, world.creatives.len(), sd::CREATIVE),
            campaign: campaign_walks(Draw::new(seed, Subject::Effect, 12), world.campaigns.len()),
            advertiser: effects(13, ADVERTISERS, sd::ADVERTISER),
            category: effects(14, texts::CATEGORIES.len(), sd::CATEGORY),
            format: effects(15, texts::FORMATS.len(), sd::FORMAT),
            theme: effects(16, texts::THEMES.len(), sd::THEME),
            landing: effects(17, texts::LANDINGS.len(), sd::LANDING),
            segment_category: Pairwise::new(
                Draw::new(seed, Subject::Pairwise, 1),
                texts::SEGMENTS.len(),
                texts::CATEGORIES.len(),
                sd::SEGMENT_CATEGORY,
            ),
            slot_format: Pairwise::new(
                Draw::new(seed, Subject::Pairwise, 2),
                texts::SLOTS.len(),
                texts::FORMATS.len(),
                sd::SLOT_FORMAT,
            ),
            device_hour: Pairwise::new(
                Draw::new(seed, Subject::Pairwise, 3),
                texts::DEVICES.len(),
                24,
                sd::DEVICE_HOUR,
            ),
        }
    }

    /// Computes the row's logit without the bias.
    pub(super) fn logit(&self, row: &Row) -> f64 {
        let user = &row.user;
        let interests = user.interests.iter().flat_map(|interests| interests.as_slice());
        let context = sd::USER * user.eagerness
            + self.device[usize::from(user.device)]
            + of(&self.os, row.os)
            + of(&self.region, row.region)
            + of(&self.segment, user.segment)
            + interests.map(|&interest| self.interest[usize::from(interest)]).sum::<f64>()
            + self.hour[usize::from(row.moment.hour)]
            + self.site[row.site as usize]
            + self.slot[usize::from(row.slot)]
            + self.size[usize::from(row.size)]
            + of(&self.exchange, row.exchange)
            + row.floor_price.map_or(0.0, price_effect)
            + self.device_hour.of(user.device, row.moment.hour);
        let candidate = self.creative[row.creative as usize]
            + f64::from(self.campaign[row.campaign as usize][usize::from(row.moment.day)])
            + self.advertiser[usize::from(row.advertiser)]
            + self.category[usize::from(row.category)]
            + self.format[usize::from(row.format)]
            + of(&self.theme, row.theme)
            + of(&self.landing, row.landing)
            + AGE_SLOPE * (1.0 + row.creative_age_hours / 24.0).ln();
        let crosses = user.segment.map_or(0.0, |segment| self.segment_category.of(segment, row.category))
            + self.slot_format.of(row.slot, row.format);
        context + candidate + crosses
    }
}

/// Returns the effect of a category, or 0 if it is missing.
fn of(effects: &[f64], category: Option<u8>) -> f64 {
    category.map_or(0.0, |category| effects[usize::from(category)])
}

fn price_effect(floor_price: f64) -> f64 {
    PRICE_SLOPE * (floor_price / PRICE_CENTRE).log2().clamp(-PRICE_REACH, PRICE_REACH)
}

#[expect(clippy::cast_possible_truncation, reason = "an effect of about 1 needs no more than f32, and there are many")]
fn campaign_walks(mut draw: Draw, count: usize) -> Vec<[f32; DAYS]> {
    (0..count)
        .map(|_| {
            let mut effect = sd::CAMPAIGN * draw.normal();
            std::array::from_fn(|day| {
                if day > 0 {
                    effect += sd::DAILY_STEP * draw.normal();
                }
                effect as f32
            })
        })
        .collect()
}

/// Effects of pairs of categories, with rank 4: each category has four hidden numbers, and the effect of a pair is the
/// scalar product of its numbers.
struct Pairwise {
    columns: usize,
    effects: Vec<f64>,
}

const RANK: usize = 4;

impl Pairwise {
    fn new(mut draw: Draw, rows: usize, columns: usize, sd: f64) -> Pairwise {
        let mut hidden =
            |count: usize| -> Vec<[f64; RANK]> { (0..count).map(|_| std::array::from_fn(|_| draw.normal())).collect() };
        let (left, right) = (hidden(rows), hidden(columns));
        // A product of two standard normals has variance 1, and the sum of four such products has variance 4.
        let scale = sd / (RANK as f64).sqrt();
        let product = |a: &[f64; RANK], b: &[f64; RANK]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let effects = left.iter().flat_map(|a| right.iter().map(move |b| scale * product(a, b))).collect();
        Pairwise { columns, effects }
    }

    fn of(&self, row: u8, column: u8) -> f64 {
        self.effects[usize::from(row) * self.columns + usize::from(column)]
    }
}

/// Finds the bias with which the mean probability of `logits` is `click_rate`, by bisection.
pub(super) fn bias_for(click_rate: f64, logits: &[f64]) -> f64 {
    let (mut low, mut high) = (-30.0, 30.0);
    // The error is 60 / 2^40, or 5e-11, far below the random error of a mean over a million rows.
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        let mean = logits.iter().map(|logit| sigmoid(middle + logit)).sum::<f64>() / logits.len() as f64;
        if mean < click_rate { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

pub(super) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_makes_the_mean_probability_equal_to_the_click_rate() {
        let logits: Vec<f64> = (0..1000).map(|index| (f64::from(index) * 0.7).sin() * 2.0).collect();
        for click_rate in [0.002, 0.1, 0.36] {
            let bias = bias_for(click_rate, &logits);
            let mean = logits.iter().map(|logit| sigmoid(bias + logit)).sum::<f64>() / 1000.0;
            assert!((mean - click_rate).abs() < 1e-9);
        }
    }

    #[test]
    fn pairwise_effects_have_the_requested_deviation_and_rank_four() {
        let pairwise = Pairwise::new(Draw::new(1, Subject::Pairwise, 1), 200, 200, 0.35);
        let squares = pairwise.effects.iter().map(|effect| effect * effect).sum::<f64>() / 40_000.0;
        assert!((squares.sqrt() - 0.35).abs() < 0.05, "{}", squares.sqrt());
        // Any five rows of five columns are linearly dependent.
        let mut minor: Vec<Vec<f64>> = (0..5).map(|r| (0..5).map(|c| pairwise.of(r, c)).collect()).collect();
        assert!(determinant(&mut minor).abs() < 1e-12);
    }

    /// Computes the determinant by elimination with row swaps.
    fn determinant(matrix: &mut [Vec<f64>]) -> f64 {
        let mut product = 1.0;
        for column in 0..matrix.len() {
            let pivot = (column..matrix.len())
                .max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))
                .expect("a row is left");
            matrix.swap(column, pivot);
            product *= matrix[column][column];
            let (above, below) = matrix.split_at_mut(column + 1);
            for row in below {
                let factor = row[column] / above[column][column];
                row.iter_mut().zip(&above[column]).for_each(|(value, above)| *value -= factor * above);
            }
        }
        product
    }

    #[test]
    fn effects_of_campaigns_change_by_the_daily_step() {
        let walks = campaign_walks(Draw::new(1, Subject::Effect, 12), 5000);
        let squares: f64 =
            walks.iter().flat_map(|walk| walk.windows(2)).map(|pair| f64::from(pair[1] - pair[0]).powi(2)).sum();
        assert!(((squares / 30_000.0).sqrt() - 0.15).abs() < 0.005);
    }
}
