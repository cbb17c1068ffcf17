//! A made-up world whose truth is known: days of rows with 15 fields, creatives that are born and die, and a click
//! rate that swings between morning and evening without any field that says so.
//!
//! Every day is a function of the seed and its number, so a day can be made twice.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::draw::{Bits, normal_of, sigmoid, solve};

/// The contract of the logs.
pub(super) const CONTRACT: &str = include_str!("contract.toml");

/// Names of the fields, in the order of the columns.
pub(super) const FIELDS: [&str; 15] = [
    "user_id",
    "device",
    "os",
    "country",
    "session_seconds",
    "segment",
    "site_id",
    "slot",
    "exchange",
    "floor_price",
    "creative_id",
    "campaign_id",
    "advertiser_id",
    "format",
    "category",
];

/// Monday, 2026-01-05 00:00 UTC.
const START_US: i64 = 1_767_571_200_000_000;
pub(super) const DAY_US: i64 = 86_400_000_000;

const USERS: u64 = 30_000;
const SITES: u64 = 300;
/// Creatives that are alive at any time.
const ALIVE: u64 = 240;
const DEVICES: [&str; 5] = ["phone", "tablet", "desktop", "tv", "console"];
const OSES: [&str; 6] = ["android", "ios", "windows", "macos", "linux", "other"];
const COUNTRIES: [&str; 8] = ["US", "JP", "DE", "FR", "GB", "BR", "IN", "KR"];
const SEGMENTS: [&str; 12] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12"];
const SLOTS: [&str; 8] = ["top", "side", "feed1", "feed2", "feed3", "bottom", "pop", "pre"];
const EXCHANGES: [&str; 6] = ["alpha", "beta", "gamma", "delta", "direct", "partner"];
const FORMATS: [&str; 6] = ["image", "video", "text", "native", "audio", "html"];
const CATEGORIES: u64 = 20;

/// Swing of the true logit between the middle of the night and the evening.
const WAVE: f64 = 0.3;

/// The parameters that determine every row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorldSpec {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of rows of a day, on average.
    pub rows_per_day: u64,
    /// Mean click probability.
    pub click_rate: f64,
    /// Whether the world changes: creatives are born and die, campaigns wear out, the click rate and the number of rows
    /// move from day to day and over the week.
    pub is_changing: bool,
}

/// One impression.
#[derive(Debug, Clone)]
pub(super) struct LogRow {
    pub(super) time_us: i64,
    pub(super) clicked: bool,
    /// The probability with which the click was drawn.
    pub(super) probability: f64,
    /// The cells, in the order of [`FIELDS`]; empty if missing.
    pub(super) cells: [String; 15],
}

/// A world.
#[derive(Debug, Clone)]
pub(super) struct World {
    spec: WorldSpec,
    bits: Bits,
    bias: f64,
}

/// What a random effect belongs to.
#[derive(Clone, Copy)]
enum Of {
    User,
    Device,
    Os,
    Country,
    Segment,
    Site,
    Slot,
    Exchange,
    Creative,
    Campaign,
    Advertiser,
    Format,
    Category,
    Level,
    Rows,
    Wear,
    Attribute,
    SlotFormat,
}

impl World {
    pub(super) fn new(spec: WorldSpec) -> Self {
        let mut world = Self { spec, bits: Bits::new(spec.seed), bias: 0.0 };
        let logits: Vec<f64> = world.drawn(0, 20_000).map(|row| row.logit).collect();
        world.bias = solve(-12.0, 6.0, |bias| {
            logits.iter().map(|logit| sigmoid(bias + logit)).sum::<f64>() / logits.len() as f64 - spec.click_rate
        });
        world
    }

    /// Returns the rows of a day, in order of time.
    pub(super) fn day(&self, day: u32) -> Vec<LogRow> {
        let factor = match self.spec.is_changing {
            true => (0.06 * self.normal(Of::Rows, u64::from(day), 0)).exp() * if day % 7 >= 5 { 1.1 } else { 1.0 },
            false => 1.0,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
        let count = (self.spec.rows_per_day as f64 * factor) as u64;
        self.drawn(day, count).map(|row| row.log_row(self.bias)).collect()
    }

    fn normal(&self, of: Of, one: u64, other: u64) -> f64 {
        normal_of(self.bits.at(of as u64, one, other))
    }

    fn pick(&self, what: u64, id: u64, count: u64) -> u64 {
        self.bits.at(Of::Attribute as u64, what, id) % count
    }

    /// A random walk: the sum of the steps of all days before.
    fn walk(&self, of: Of, id: u64, day: u32, step: f64) -> f64 {
        if !self.spec.is_changing {
            return 0.0;
        }
        (1..=u64::from(day)).map(|day| step * self.normal(of, id, day)).sum()
    }

    /// Returns the creative in a place of the list of living ones. Each lives for 4 to 13 days.
    fn creative(&self, place: u64, day: u32) -> u64 {
        let life = 4 + self.pick(1, place, 10);
        let age = if self.spec.is_changing { (u64::from(day) + self.pick(2, place, life)) / life } else { 0 };
        1_000 + age * ALIVE + place
    }

    fn drawn(&self, day: u32, count: u64) -> impl Iterator<Item = Drawn> + '_ {
        let mut random = Pcg64Mcg::seed_from_u64(self.bits.at(99, u64::from(day), 0));
        let level = self.walk(Of::Level, 0, day, 0.03)
            + if self.spec.is_changing { 0.05 * (f64::from(day) * std::f64::consts::TAU / 7.0).sin() } else { 0.0 };
        let campaigns = (1_000 + (u64::from(day) + 2) * ALIVE) / 4 + 1;
        let wear: Vec<f64> = (0..campaigns).map(|id| self.walk(Of::Wear, id, day, 0.06)).collect();
        (0..count).map(move |index| {
            let mut uniform = || random.random_range(0.0..1.0_f64);
            let moment = (index as f64 + uniform()) / count as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the count")]
            let skewed = |uniform: f64, power: i32, count: u64| (uniform.powi(power) * count as f64) as u64;
            let (user, site) = (skewed(uniform(), 3, USERS), skewed(uniform(), 3, SITES));
            // The largest creative has 6 % of the rows.
            let place = skewed(uniform(), 2, ALIVE);
            let knows_user = uniform() < 0.9;
            let (with_segment, with_price) = (uniform() < 0.75, uniform() < 0.88);
            // More people sit before a television in the evening.
            let device = if uniform() < 0.25 * moment { 3 } else { self.pick(3, user, 5) };
            let slot = self.pick(4, site * 3 + u64::from(uniform() < 0.5), 8);
            let price = (3.0 + 0.8 * self.normal(Of::Attribute, 5, site) + 0.5 * normal_of(uniform().to_bits())).exp();
            let seconds = (4.0 + 1.5 * normal_of(uniform().to_bits())).exp().min(80_000.0);
            let creative = self.creative(place, day);
            let campaign = creative / 4;
            let advertiser = self.pick(6, campaign, 40);
            let (format, category) = (self.pick(7, creative, 6), self.pick(8, advertiser, CATEGORIES));
            let (os, country, segment) = (self.pick(9, user, 6), self.pick(10, user, 64), self.pick(11, user, 12));
            // The first countries are larger.
            let country = [0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7][usize::try_from(country).unwrap_or(0) % 12];
            let exchange = self.pick(12, site, 6);
            let logit = level
                + WAVE * (std::f64::consts::TAU * (moment - 0.8)).cos()
                + 0.2 * self.normal(Of::User, user, 0)
                + 0.25 * self.normal(Of::Device, device, 0)
                + 0.15 * self.normal(Of::Os, os, 0)
                + 0.2 * self.normal(Of::Country, country, 0)
                + if with_segment { 0.3 * self.normal(Of::Segment, segment, 0) } else { 0.0 }
                + 0.5 * self.normal(Of::Site, site, 0)
                + 0.3 * self.normal(Of::Slot, slot, 0)
                + 0.15 * self.normal(Of::Exchange, exchange, 0)
                + if with_price { 0.15 * (price.ln() - 3.0) } else { 0.0 }
                - 0.1 * (seconds.ln() - 4.0)
                + 0.35 * self.normal(Of::Creative, creative, 0)
                + 0.25 * self.normal(Of::Campaign, campaign, 0)
                + wear[usize::try_from(campaign).unwrap_or(0).min(wear.len() - 1)]
                + 0.3 * self.normal(Of::Advertiser, advertiser, 0)
                + 0.5 * self.normal(Of::Format, format, 0)
                + 0.3 * self.normal(Of::Category, category, 0)
                + 0.15 * self.normal(Of::SlotFormat, slot, format);
            #[expect(clippy::cast_possible_truncation, reason = "within a day")]
            let time_us = START_US + i64::from(day) * DAY_US + (moment * DAY_US as f64) as i64;
            let numbers = [user, device, os, country, segment, site, slot, exchange, creative, campaign, advertiser];
            Drawn {
                time_us,
                logit,
                luck: uniform(),
                numbers,
                kinds: [format, category],
                seconds,
                price: with_price.then_some(price),
                knows_user,
                with_segment,
            }
        })
    }
}

struct Drawn {
    time_us: i64,
    logit: f64,
    luck: f64,
    numbers: [u64; 11],
    kinds: [u64; 2],
    seconds: f64,
    price: Option<f64>,
    knows_user: bool,
    with_segment: bool,
}

impl Drawn {
    fn log_row(self, bias: f64) -> LogRow {
        let [user, device, os, country, segment, site, slot, exchange, creative, campaign, advertiser] = self.numbers;
        let [format, category] = self.kinds;
        let text = |texts: &[&str], index: u64| texts[usize::try_from(index).unwrap_or(0)].to_owned();
        let or_none = |is_there: bool, text: String| if is_there { text } else { String::new() };
        let probability = sigmoid(bias + self.logit);
        LogRow {
            time_us: self.time_us,
            clicked: self.luck < probability,
            probability,
            cells: [
                or_none(self.knows_user, (user + 1).to_string()),
                text(&DEVICES, device),
                text(&OSES, os),
                text(&COUNTRIES, country),
                format!("{:.1}", self.seconds),
                or_none(self.with_segment, text(&SEGMENTS, segment)),
                (site + 1).to_string(),
                text(&SLOTS, slot),
                text(&EXCHANGES, exchange),
                self.price.map_or_else(String::new, |price| format!("{price:.2}")),
                creative.to_string(),
                campaign.to_string(),
                (advertiser + 1).to_string(),
                text(&FORMATS, format),
                format!("c{category}"),
            ],
        }
    }
}

/// Writes rows as the text of a CSV file.
pub(super) fn csv_of(rows: &[LogRow]) -> String {
    let mut text = format!("timestamp,clicked,{}\n", FIELDS.join(","));
    for row in rows {
        text.push_str(&format!("{},{},{}\n", row.time_us, u8::from(row.clicked), row.cells.join(",")));
    }
    text
}

/// Mean log loss of the true probabilities.
pub(super) fn true_log_loss(rows: &[LogRow]) -> f64 {
    let loss = |row: &LogRow| -if row.clicked { row.probability } else { 1.0 - row.probability }.ln();
    rows.iter().map(loss).sum::<f64>() / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: WorldSpec = WorldSpec { seed: 7, rows_per_day: 20_000, click_rate: 0.1, is_changing: true };

    #[test]
    fn a_day_has_the_click_rate_and_is_the_same_again() {
        let world = World::new(SPEC);
        let rows = world.day(0);
        let rate = rows.iter().filter(|row| row.clicked).count() as f64 / rows.len() as f64;
        assert!((rate - 0.1).abs() < 0.02, "{rate}");
        assert!(rows.is_sorted_by_key(|row| row.time_us));
        assert_eq!(csv_of(&rows), csv_of(&World::new(SPEC).day(0)));
        assert_ne!(csv_of(&rows), csv_of(&world.day(1)));
        let parsed = crate::toml::parse_contract(CONTRACT).unwrap();
        assert!(parsed.fields().iter().map(|field| field.name.as_str()).eq(FIELDS));
    }

    #[test]
    fn creatives_are_born_and_die_only_in_a_changing_world() {
        let alive = |world: &World, day| (0..ALIVE).map(|place| world.creative(place, day)).collect::<Vec<_>>();
        let changing = World::new(SPEC);
        let kept = alive(&changing, 3).iter().filter(|id| alive(&changing, 10).contains(id)).count();
        assert!((10..150).contains(&kept), "{kept}");
        let calm = World::new(WorldSpec { is_changing: false, ..SPEC });
        assert_eq!(alive(&calm, 3), alive(&calm, 10));
    }
}
