//! One row of a generated log. Categories are indices into lists.

use super::clock::{Clock, HOUR_US, Moment};
use super::draw::{Draw, Subject};
use super::world::{CREATIVES_PER_CAMPAIGN, User, World};

/// Highest floor price, which is also the end of the contract's range.
pub(super) const HIGHEST_FLOOR_PRICE: f64 = 100_000.0;

/// An impression without its logit. A value that is missing in the log is also absent here, so it does not affect the
/// true probability. Everything that affects the probability is in the log, except the daily walk of the campaign.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) moment: Moment,
    pub(super) user: User,
    pub(super) os: Option<u8>,
    pub(super) region: Option<u8>,
    pub(super) site: u32,
    pub(super) slot: u8,
    pub(super) size: u8,
    pub(super) exchange: Option<u8>,
    /// JPY per 1,000 impressions.
    pub(super) floor_price: Option<f64>,
    pub(super) creative: u32,
    pub(super) creative_age_hours: f64,
    pub(super) campaign: u32,
    pub(super) advertiser: u16,
    pub(super) category: u8,
    pub(super) format: u8,
    pub(super) theme: Option<u8>,
    pub(super) landing: Option<u8>,
    /// Uniform in [0, 1). The row is clicked if this is below its true probability.
    pub(super) luck: f64,
}

/// Makes any row of a log with `rows` rows from only its index.
pub(super) struct Rows {
    seed: u64,
    rows: u64,
    clock: Clock,
    pub(super) world: World,
}

impl Rows {
    pub(super) fn new(seed: u64, rows: u64) -> Rows {
        Rows { seed, rows, clock: Clock::new(), world: World::new(seed, rows) }
    }

    /// Returns the row with this index, which is below the number of rows. Rows with higher indices are not earlier.
    pub(super) fn at(&self, index: u64) -> Row {
        let mut draw = Draw::new(self.seed, Subject::Row, index);
        let draw = &mut draw;
        let moment = self.clock.at((index as f64 + draw.unit()) / self.rows as f64);
        let world = &self.world;
        let user = world.users.pick(index, draw);
        let site_index = world.pick_site(draw);
        let site = &world.sites[site_index as usize];
        let (slot, size) = site.pick_slot(draw);
        let creative_index = world.pick_creative(moment.elapsed_us, draw);
        let creative = &world.creatives[creative_index as usize];
        let campaign_index = creative_index / CREATIVES_PER_CAMPAIGN;
        let campaign = &world.campaigns[campaign_index as usize];
        let age_hours = (moment.elapsed_us - creative.born_us) as f64 / HOUR_US as f64;
        Row {
            moment,
            os: unless(draw, 0.015, user.os),
            region: unless(draw, 0.06, user.region),
            user,
            site: site_index,
            slot,
            size,
            exchange: unless(draw, 0.02, site.exchange),
            floor_price: floor_price(draw, site.price),
            creative: creative_index,
            creative_age_hours: (age_hours * 10.0).floor() / 10.0,
            campaign: campaign_index,
            advertiser: campaign.advertiser,
            category: campaign.category,
            format: creative.format,
            theme: creative.theme,
            landing: campaign.landing,
            luck: draw.unit(),
        }
    }
}

fn unless(draw: &mut Draw, missing_share: f64, value: u8) -> Option<u8> {
    (!draw.chance(missing_share)).then_some(value)
}

/// Draws a floor price: lognormal around the site's price. In one row of 25 it is multiplied by a Pareto factor with
/// exponent 1.1, so the mean exists but converges very slowly.
fn floor_price(draw: &mut Draw, site_price: f64) -> Option<f64> {
    if draw.chance(0.12) {
        return None;
    }
    let usual = site_price * (0.5 * draw.normal()).exp();
    let price = if draw.chance(0.04) { usual * (1.0 - draw.unit()).powf(-1.0 / 1.1) } else { usual };
    // Prices are quoted in hundredths of a yen.
    Some((price.clamp(0.01, HIGHEST_FLOOR_PRICE) * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_price_has_a_heavy_tail_within_the_range_of_the_contract() {
        let rows = Rows::new(1, 50_000);
        let mut prices: Vec<f64> = (0..50_000).filter_map(|index| rows.at(index).floor_price).collect();
        prices.sort_by(f64::total_cmp);
        let quantile = |percent: usize| prices[prices.len() * percent / 100];
        assert!(prices[0] >= 0.01 && prices[prices.len() - 1] <= HIGHEST_FLOOR_PRICE);
        assert!(quantile(99) > 8.0 * quantile(50), "median {}, 99th {}", quantile(50), quantile(99));
        assert!(prices[prices.len() - 1] > 100.0 * quantile(50), "highest {}", prices[prices.len() - 1]);
    }

    #[test]
    fn creatives_are_shown_only_while_they_are_alive() {
        let rows = Rows::new(1, 20_000);
        for index in 0..20_000 {
            let row = rows.at(index);
            let creative = &rows.world.creatives[row.creative as usize];
            assert!(creative.born_us <= row.moment.elapsed_us && row.moment.elapsed_us < creative.dies_us);
            assert!(row.creative_age_hours >= 0.0);
        }
    }
}
