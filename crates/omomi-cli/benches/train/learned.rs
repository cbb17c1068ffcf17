//! One pass of learning: by the library, and by the simplest training loop.

use std::borrow::Borrow;
use std::collections::HashMap;

use omomi::contract::Contract;
use omomi::feature::{cross_step, feature_key, field_seed};
use omomi::math::sigmoid;
use omomi_train::evaluate::log_loss;
use omomi_train::learn::{Coordinate, Settings, Trainer};
use omomi_train::log::RowBatch;

/// The result of a training run. It is equal for equal models.
#[derive(Debug, PartialEq)]
pub struct Learned {
    pub feature_count: usize,
    /// Mean log loss of the rows, each predicted before it was learned.
    pub log_loss: f64,
}

impl Learned {
    pub fn by_trainer(contract: &Contract, batches: impl IntoIterator<Item = impl Borrow<RowBatch>>) -> Self {
        let mut trainer = Trainer::new(contract, Settings::default()).expect("good settings");
        for batch in batches {
            trainer.learn(batch.borrow()).expect("room for the features");
        }
        Self { feature_count: trainer.feature_count(), log_loss: trainer.progressive_metrics().log_loss }
    }

    /// FTRL-Proximal as in the paper, with a map from feature key to z and n. Unlike a training state, it keeps no
    /// counts and no categories.
    pub fn by_map(contract: &Contract, batches: impl IntoIterator<Item = impl Borrow<RowBatch>>) -> Self {
        let settings = Settings::default();
        let seeds: Vec<u64> = contract.fields().iter().map(|field| field_seed(&field.name)).collect();
        let crosses = contract.crosses().iter();
        let crosses: Vec<_> =
            crosses.map(|cross| (field_seed(&contract.cross_name(cross)), cross.members.as_slice())).collect();
        let mut map: HashMap<u64, (f64, f64)> = HashMap::new();
        let mut bias: Option<Coordinate> = None;
        let (mut loss_sum, mut row_count) = (0.0, 0_u32);
        let mut features = Vec::new();
        for batch in batches {
            let batch = batch.borrow();
            let bias = bias.get_or_insert_with(|| first_bias(&settings, &batch.clicked));
            for (row, &clicked) in batch.clicked.iter().enumerate() {
                let bias_weight = settings.bias_weight(bias.z, settings.curvature(bias.n));
                let mut logit = bias_weight;
                features.clear();
                let mut add = |key| {
                    let (z, n) = *map.entry(key).or_default();
                    let weight = settings.feature_weight(z, settings.curvature(n));
                    logit += weight;
                    features.push((key, weight));
                };
                for (&seed, column) in seeds.iter().zip(&batch.columns) {
                    column.values[column.range(row)].iter().for_each(|&value| add(feature_key(seed, value)));
                }
                for &(seed, members) in &crosses {
                    let step = |state, &member: &usize| {
                        let column = &batch.columns[member];
                        let value = *column.values[column.range(row)].first()?;
                        Some(cross_step(state, feature_key(seeds[member], value)))
                    };
                    if let Some(key) = members.iter().try_fold(seed, step) {
                        add(key);
                    }
                }
                loss_sum += log_loss(logit, clicked);
                row_count += 1;
                let gradient = sigmoid(logit) - f64::from(u8::from(clicked));
                *bias = bias.updated(bias_weight, gradient, settings.alpha);
                for &(key, weight) in &features {
                    let (z, n) = map[&key];
                    let Coordinate { z, n } = Coordinate { z, n }.updated(weight, gradient, settings.alpha);
                    map.insert(key, (z, n));
                }
            }
        }
        Self { feature_count: map.len(), log_loss: loss_sum / f64::from(row_count) }
    }
}

/// Returns a bias at the logit of the observed CTR of the first batch, with one click and one impression without a
/// click added.
fn first_bias(settings: &Settings, clicked: &[bool]) -> Coordinate {
    let clicks = clicked.iter().filter(|&&clicked| clicked).count() + 1;
    let others = clicked.len() + 2 - clicks;
    let logit = (clicks as f64 / others as f64).ln();
    Coordinate { z: -logit * settings.curvature(0.0), n: 0.0 }
}
