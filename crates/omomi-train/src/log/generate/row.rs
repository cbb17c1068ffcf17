//! One row of the log, as indices.

use super::clock::{Clock, HOUR_US, Moment};
use super::draw::{Draw, Subject};
use super::world::{CREATIVES_PER_CAMPAIGN, User, World};

/// Highest floor price; the contract's range ends here.
pub(super) const HIGHEST_FLOOR_PRICE: f64 = 100_000.0;

/// An impression before its logit is known. A value that the log misses is absent here too, so it cannot move the
/// true probability: what is written is all there is to know, but for the campaign's walk.
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
    /// Uniform in [0, 1): the row is clicked if this is below its true probability.
    pub(super) luck: f64,
}

/// Makes any row of a log of `rows` rows from its index alone.
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

    /// The row with this index, below the number of rows. Rows of higher index are not earlier.
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

/// Lognormal around the site's price, and in one row of 25 raised by a Pareto factor of exponent 1.1, so that the mean
/// exists but hardly settles.
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
    fn floor_price_has_a_heavy_tail_within_the_contracts_range() {
        let rows = Rows::new(1, 50_000);
        let mut prices: Vec<f64> = (0..50_000).filter_map(|index| rows.at(index).floor_price).collect();
        prices.sort_by(f64::total_cmp);
        let quantile = |percent: usize| prices[prices.len() * percent / 100];
        assert!(prices[0] >= 0.01 && prices[prices.len() - 1] <= HIGHEST_FLOOR_PRICE);
        assert!(quantile(99) > 8.0 * quantile(50), "median {}, 99th {}", quantile(50), quantile(99));
        assert!(prices[prices.len() - 1] > 100.0 * quantile(50), "highest {}", prices[prices.len() - 1]);
    }

    #[test]
    fn creatives_are_shown_only_while_they_live() {
        let rows = Rows::new(1, 20_000);
        for index in 0..20_000 {
            let row = rows.at(index);
            let creative = &rows.world.creatives[row.creative as usize];
            assert!(creative.born_us <= row.moment.elapsed_us && row.moment.elapsed_us < creative.dies_us);
            assert!(row.creative_age_hours >= 0.0);
        }
    }
}
