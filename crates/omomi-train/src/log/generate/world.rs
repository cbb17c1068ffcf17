//! The users, sites, creatives, campaigns and advertisers of a generated log, with their attributes.
//!
//! There are too many users to store, so each is computed from its rank when it is needed. The others are in tables.

use super::clock::{DAYS, HOUR_US};
use super::draw::{Draw, Subject, mix};
use super::vocabulary as texts;
use super::zipf::{Alias, Zipf, flattening_for_head, zipf_weights};

/// Share of impressions whose user is unknown.
pub(super) const UNKNOWN_USER_SHARE: f64 = 0.09;
/// Number of users per row of the log.
const USERS_PER_ROW: f64 = 1.1;
const USER_EXPONENT: f64 = 0.62;
const SITE_EXPONENT: f64 = 1.36;
const CREATIVE_EXPONENT: f64 = 0.65;
const ADVERTISER_COUNT: u32 = 506;
const ADVERTISER_EXPONENT: f64 = 1.67;
const ADVERTISER_HEAD: f64 = 0.2;
/// Share of known users without a segment. Together with the unknown users, 25 % of the rows have no segment.
const NO_SEGMENT_SHARE: f64 = 0.176;
const NO_LANDING_SHARE: f64 = 0.08;
const NO_THEME_SHARE: f64 = 0.45;
/// The number of interests of a user is lognormal, rounded down, and at most [`MAX_INTERESTS`]: mean 5, median 2.
const INTEREST_COUNT_MEDIAN: f64 = 2.8;
const INTEREST_COUNT_SPREAD: f64 = 1.44;
pub(super) const MAX_INTERESTS: u8 = 42;
const MAX_SLOTS_OF_SITE: usize = 3;

/// The attributes of a user. Categories are indices into the lists of texts.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// Absent for an unknown user.
    pub(super) id: Option<i64>,
    pub(super) device: u8,
    pub(super) os: u8,
    pub(super) region: u8,
    pub(super) segment: Option<u8>,
    /// Absent for an unknown user. The list of a known user may be empty.
    pub(super) interests: Option<Interests>,
    /// How much more than average this user clicks, in standard deviations. 0 for an unknown user.
    pub(super) eagerness: f64,
}

/// Up to [`MAX_INTERESTS`] distinct interests in no particular order, stored without an allocation.
#[derive(Clone, Debug)]
pub(super) struct Interests {
    count: u8,
    values: [u8; MAX_INTERESTS as usize],
}

impl Interests {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.values[..usize::from(self.count)]
    }
}

/// Makes users from their ranks.
pub(super) struct Users {
    seed: u64,
    rank: Zipf,
    device: Alias,
    os_of_device: Vec<Alias>,
    region: Alias,
    segment: Alias,
    interest: Alias,
    interest_count: Alias,
}

impl Users {
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^53: the number of rows is limited")]
    fn new(seed: u64, rows: u64) -> Users {
        Users {
            seed,
            rank: Zipf::new((rows as f64 * USERS_PER_ROW).ceil() as u64, USER_EXPONENT),
            device: Alias::new(&[0.66, 0.22, 0.07, 0.03, 0.02]),
            os_of_device: texts::OSES_OF_DEVICE.iter().map(|oses| popular(oses.len(), 1.0)).collect(),
            region: popular(texts::REGIONS.len(), 0.85),
            segment: popular(texts::SEGMENTS.len(), 0.7),
            interest: popular(texts::INTERESTS.len(), 0.6),
            interest_count: Alias::new(&interest_count_weights()),
        }
    }

    /// Draws the user of a row. An unknown user gets attributes that depend on `row`, the index of the row.
    pub(super) fn pick(&self, row: u64, draw: &mut Draw) -> User {
        if draw.chance(UNKNOWN_USER_SHARE) {
            let mut unknown = Draw::new(self.seed, Subject::UnknownUser, row);
            let (device, os, region) = self.terminal(&mut unknown);
            return User { id: None, device, os, region, segment: None, interests: None, eagerness: 0.0 };
        }
        let rank = self.rank.pick(draw);
        let mut user = Draw::new(self.seed, Subject::User, rank);
        let (device, os, region) = self.terminal(&mut user);
        let segment = if user.chance(NO_SEGMENT_SHARE) { None } else { Some(byte(self.segment.pick(&mut user))) };
        let interests = Some(self.interests(&mut user));
        let eagerness = user.normal();
        // The id is positive and opaque, like ids of real users: it shows neither the user's popularity nor its order.
        let name = mix(self.seed ^ mix(rank ^ mix(Subject::UserName as u64))) >> 1;
        User { id: Some(name.cast_signed()), device, os, region, segment, interests, eagerness }
    }

    fn terminal(&self, user: &mut Draw) -> (u8, u8, u8) {
        let device = self.device.pick(user) as usize;
        let os = texts::OSES_OF_DEVICE[device][self.os_of_device[device].pick(user) as usize];
        let region = byte(self.region.pick(user));
        (byte(device), os, region)
    }

    fn interests(&self, user: &mut Draw) -> Interests {
        let mut interests =
            Interests { count: byte(self.interest_count.pick(user)), values: [0; MAX_INTERESTS as usize] };
        let mut taken = 0u128;
        for value in &mut interests.values[..usize::from(interests.count)] {
            // At most 42 of 66 interests are taken, so a free one is found soon.
            *value = loop {
                let candidate = self.interest.pick(user);
                if taken & 1 << candidate == 0 {
                    taken |= 1 << candidate;
                    break byte(candidate);
                }
            };
        }
        interests
    }
}

/// Computes the weights of having 0 to 42 interests, by numeric integration of a lognormal density.
fn interest_count_weights() -> Vec<f64> {
    const STEPS: u32 = 64;
    let density = |value: f64| {
        let deviation = (value / INTEREST_COUNT_MEDIAN).ln() / INTEREST_COUNT_SPREAD;
        (-0.5 * deviation * deviation).exp() / value
    };
    (0..=MAX_INTERESTS)
        .map(|count| {
            let middle = |step: u32| f64::from(count) + (f64::from(step) + 0.5) / f64::from(STEPS);
            (0..STEPS).map(|step| density(middle(step))).sum()
        })
        .collect()
}

pub(super) struct Site {
    /// The slots on the site's pages, each with its size.
    slots: [(u8, u8); MAX_SLOTS_OF_SITE],
    slot_count: u8,
    pub(super) exchange: u8,
    /// The median floor price of the site, in JPY per 1,000 impressions, without the Pareto tail.
    pub(super) price: f64,
}

impl Site {
    /// Draws a slot of this site. Returns the slot and its size.
    pub(super) fn pick_slot(&self, draw: &mut Draw) -> (u8, u8) {
        self.slots[draw.below(u32::from(self.slot_count)) as usize]
    }
}

pub(super) struct Creative {
    /// Microseconds since the log began. Negative for creatives that were born before.
    pub(super) born_us: i64,
    pub(super) dies_us: i64,
    pub(super) format: u8,
    pub(super) theme: Option<u8>,
}

pub(super) struct Campaign {
    pub(super) advertiser: u16,
    pub(super) category: u8,
    pub(super) landing: Option<u8>,
}

/// Everything that exists in a generated log. It depends only on the seed and the number of rows.
pub(super) struct World {
    pub(super) users: Users,
    pub(super) sites: Vec<Site>,
    site: Alias,
    /// In order of birth, three per campaign.
    pub(super) creatives: Vec<Creative>,
    creative: Alias,
    pub(super) campaigns: Vec<Campaign>,
}

/// Number of creatives in a campaign.
pub(super) const CREATIVES_PER_CAMPAIGN: u32 = 3;
pub(super) const ADVERTISERS: usize = ADVERTISER_COUNT as usize;

impl World {
    pub(super) fn new(seed: u64, rows: u64) -> World {
        let site_count = growing(600.0, rows, 0.62);
        let creative_count = growing(400.0, rows, 0.75);
        let advertiser = Alias::new(&zipf_weights(
            ADVERTISER_COUNT,
            ADVERTISER_EXPONENT,
            flattening_for_head(ADVERTISER_COUNT, ADVERTISER_EXPONENT, ADVERTISER_HEAD),
        ));
        let category = popular(texts::CATEGORIES.len(), 0.8);
        let main_categories: Vec<u8> = (0..ADVERTISER_COUNT)
            .map(|index| byte(category.pick(&mut Draw::new(seed, Subject::Advertiser, u64::from(index)))))
            .collect();
        World {
            users: Users::new(seed, rows),
            sites: sites(seed, site_count),
            site: Alias::new(&zipf_weights(site_count, SITE_EXPONENT, 0.0)),
            creatives: creatives(seed, creative_count),
            creative: Alias::new(&shuffled(seed, zipf_weights(creative_count, CREATIVE_EXPONENT, 0.0))),
            campaigns: (0..creative_count.div_ceil(CREATIVES_PER_CAMPAIGN))
                .map(|index| {
                    let mut draw = Draw::new(seed, Subject::Campaign, u64::from(index));
                    let advertiser = advertiser.pick(&mut draw);
                    let usual = draw.chance(0.8);
                    let other = byte(category.pick(&mut draw));
                    Campaign {
                        advertiser: u16::try_from(advertiser).expect("506 advertisers"),
                        category: if usual { main_categories[advertiser as usize] } else { other },
                        landing: uniform_unless(&mut draw, NO_LANDING_SHARE, texts::LANDINGS.len()),
                    }
                })
                .collect(),
        }
    }

    pub(super) fn pick_site(&self, draw: &mut Draw) -> u32 {
        self.site.pick(draw)
    }

    /// Draws a creative that is alive at this time.
    pub(super) fn pick_creative(&self, elapsed_us: i64, draw: &mut Draw) -> u32 {
        loop {
            // About a third of the creatives is alive at any time, and the first one is always alive.
            let index = self.creative.pick(draw);
            let creative = &self.creatives[index as usize];
            if creative.born_us <= elapsed_us && elapsed_us < creative.dies_us {
                return index;
            }
        }
    }
}

fn sites(seed: u64, count: u32) -> Vec<Site> {
    let slot = popular(texts::SLOTS.len(), 0.8);
    let size = popular(texts::SIZES.len(), 0.9);
    let exchange = popular(texts::EXCHANGES.len(), 0.7);
    (0..count)
        .map(|index| {
            let mut draw = Draw::new(seed, Subject::Site, u64::from(index));
            Site {
                slots: std::array::from_fn(|_| (byte(slot.pick(&mut draw)), byte(size.pick(&mut draw)))),
                slot_count: byte(1 + draw.below(3)),
                exchange: byte(exchange.pick(&mut draw)),
                price: 60.0 * (0.9 * draw.normal()).exp(),
            }
        })
        .collect()
}

/// Makes creatives that are alive at some time in the log's seven days, in order of birth.
#[expect(clippy::cast_possible_truncation, reason = "at most 67 days in microseconds")]
fn creatives(seed: u64, count: u32) -> Vec<Creative> {
    const LOG_HOURS: f64 = DAYS as f64 * 24.0;
    const LONGEST_HOURS: f64 = 60.0 * 24.0;
    let in_us = |hours: f64| (hours * HOUR_US as f64) as i64;
    let mut creatives: Vec<Creative> = (0..count)
        .map(|index| {
            let mut draw = Draw::new(seed, Subject::Creative, u64::from(index));
            // A life has at least six hours, and on average four days more.
            let life = (6.0 - 96.0 * (1.0 - draw.unit()).ln()).min(LONGEST_HOURS);
            let born = draw.unit() * (life + LOG_HOURS) - life;
            Creative {
                born_us: in_us(born),
                dies_us: in_us(born + life),
                format: byte(draw.below(12).min(draw.below(12)) / 2),
                theme: uniform_unless(&mut draw, NO_THEME_SHARE, texts::THEMES.len()),
            }
        })
        .collect();
    creatives.sort_by_key(|creative| creative.born_us);
    // The oldest creative is alive during the whole log, so that there is always something to show.
    if let Some(oldest) = creatives.first_mut() {
        oldest.born_us = oldest.born_us.min(0);
        oldest.dies_us = i64::MAX;
    }
    creatives
}

fn uniform_unless(draw: &mut Draw, missing_share: f64, count: usize) -> Option<u8> {
    let missing = draw.chance(missing_share);
    let value = byte(draw.below(u32::from(byte(count))));
    (!missing).then_some(value)
}

/// Shuffles the weights, so that popularity does not depend on the order of birth.
fn shuffled(seed: u64, mut weights: Vec<f64>) -> Vec<f64> {
    let mut draw = Draw::new(seed, Subject::Popularity, 0);
    for last in (1..weights.len()).rev() {
        let count = u32::try_from(last + 1).expect("fewer than 2^32 creatives");
        weights.swap(last, draw.below(count) as usize);
    }
    weights
}

fn popular(count: usize, exponent: f64) -> Alias {
    Alias::new(&zipf_weights(u32::from(byte(count)), exponent, 0.0))
}

#[expect(clippy::cast_possible_truncation, reason = "below 2^28: the number of rows is limited")]
fn growing(base: f64, rows: u64, power: f64) -> u32 {
    (base + (rows as f64).powf(power)) as u32
}

/// Converts an index into a list of texts to a byte. No list has more than 256 texts.
fn byte<T: TryInto<u8>>(index: T) -> u8 {
    index.try_into().ok().expect("an index into a list of at most 256 texts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_counts_have_mean_5_and_median_2_and_reach_42() {
        let weights = interest_count_weights();
        let total: f64 = weights.iter().sum();
        let mean = (0u8..).zip(&weights).map(|(count, weight)| f64::from(count) * weight).sum::<f64>() / total;
        assert!((mean - 5.0).abs() < 0.1, "mean {mean}");
        let share_below = |count: usize| weights[..count].iter().sum::<f64>() / total;
        assert!(share_below(2) < 0.5 && share_below(3) > 0.5, "{} {}", share_below(2), share_below(3));
        assert_eq!(weights.len(), 43);
    }

    #[test]
    fn some_creative_is_alive_at_any_time_and_most_are_born_or_die_within_the_log() {
        let end_us = DAYS as i64 * 24 * HOUR_US;
        let creatives = creatives(5, 1000);
        assert!(creatives[0].born_us <= 0 && creatives[0].dies_us > end_us);
        assert!(creatives.iter().all(|creative| creative.born_us < end_us && creative.dies_us > 0));
        assert!(creatives.iter().filter(|creative| creative.born_us > 0).count() > 400);
        assert!(creatives.iter().filter(|creative| creative.dies_us < end_us).count() > 400);
    }

    #[test]
    fn a_user_has_the_same_attributes_in_every_row() {
        let users = Users::new(1, 10);
        let mut seen = std::collections::BTreeMap::new();
        for row in 0..1000 {
            let user = users.pick(row, &mut Draw::new(1, Subject::Row, row));
            if let Some(id) = user.id {
                let attributes = format!("{user:?}");
                assert_eq!(seen.entry(id).or_insert_with(|| attributes.clone()), &attributes);
            }
        }
        assert!(seen.len() > 5);
    }
}
