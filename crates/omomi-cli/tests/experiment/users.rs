//! A made-up joined log of users, as CSV, whose truth is known.

use std::fmt::Write as _;

use omomi::experiment::{Purpose, bucket_of, draw};
use omomi::feature::text_value;

/// How users are split, and what they do.
#[derive(Clone)]
pub struct Users {
    pub arms: Vec<(&'static str, u64, f64)>,
    pub count: u64,
    /// Makes another log with the same kind of users.
    pub seed: u64,
    pub experiment: &'static str,
    pub first_hour: u64,
    /// With a salt, users have the buckets that an experiment file gives them. Otherwise, other ones.
    pub salt: Option<u64>,
}

impl Users {
    /// Two arms of equal size; the second one clicks `lift` times as often.
    pub fn two(count: u64, lift: f64) -> Self {
        let arms = vec![("control", 5_000, 1.0), ("b", 5_000, lift)];
        Self { arms, count, seed: 1, experiment: "ranker", first_hour: 0, salt: None }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Rows in the order of time: each hour, the next users come, each with one to four rows.
    pub fn csv(&self) -> String {
        let mut text = "timestamp,prediction_id,experiment,arm,bucket,user,site,shown,won,click_delay_ms,probability,\
                        logit,click_price_micros,click_currency,dwell,late\n"
            .to_owned();
        for user in 0..self.count {
            let draw = |salt: u64| uniform(user, salt ^ (self.seed << 32));
            // The bucket and the habit of a user are the same in every log.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 10,000")]
            let bucket = match self.salt {
                Some(salt) => bucket_in_file(salt, user),
                None => (uniform(user, 7) * 10_000.0) as u64,
            };
            let habit = if uniform(user, 8) < 0.5 { 0.1 } else { 0.3 };
            let (arm, lift) = self.arm_of(bucket);
            for row in 0..1 + user % 4 {
                let hour = self.first_hour + user * 48 / self.count;
                let minute = user * 48 * 60 / self.count % 60;
                let probability = habit * lift;
                let is_clicked = draw(100 + row) < probability;
                let (delay, price, currency) = if is_clicked { ("900", "2500000", "JPY") } else { ("", "", "") };
                let day = 1 + hour / 24;
                let dwell = if row == 3 { "NaN".to_owned() } else { format!("{:.3}", draw(200 + row) * 10.0) };
                writeln!(
                    text,
                    "2026-10-{day:02}T{:02}:{minute:02}:00Z,{:08x}{:016x}{row:08x},{},{arm},{bucket},u{user},{},true,\
                     {},{delay},{probability:.4},-1.5,{price},{currency},{dwell},false",
                    hour % 24,
                    self.seed,
                    user,
                    self.experiment,
                    user % 3,
                    user % 2 == 0,
                )
                .unwrap();
            }
        }
        text
    }

    fn arm_of(&self, bucket: u64) -> (&'static str, f64) {
        let mut end = 0;
        let found = self.arms.iter().find(|(_, share, _)| {
            end += share;
            bucket < end
        });
        found.map_or(("rest", 1.0), |(arm, _, lift)| (arm, *lift))
    }
}

/// Returns the bucket of a user in an experiment with this salt.
fn bucket_in_file(salt: u64, user: u64) -> u64 {
    bucket_of(draw(salt, Purpose::Bucket, text_value(format!("u{user}").as_bytes()))).into()
}

/// A number from 0 to 1 that looks random.
pub fn uniform(one: u64, other: u64) -> f64 {
    let mut mixed = one.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ other.wrapping_mul(0xd6e8_feb8_6659_fd93);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}
