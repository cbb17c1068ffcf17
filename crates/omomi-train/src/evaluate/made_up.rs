//! Evaluations of made-up predictions, for simulations of the gate.

use super::bootstrap::Groups;
use super::evaluation::{Comparison, FileFacts, GroupsOf, ModelEvaluation, Overall};
use super::histogram::Histogram;
use super::metrics::{Totals, logit_of, probability_log_loss};
use super::run::SHIFT_BIN_COUNT;
use super::slices::calibration;

/// Returns the evaluations of two models that predict each row with these probabilities: the model, compared with the
/// baseline, and the baseline. All else is as in a good file.
pub(crate) fn evaluation_of_predictions(
    predictions: impl Iterator<Item = (bool, [f64; 2])>,
    seed: u64,
) -> (ModelEvaluation, ModelEvaluation) {
    let mut totals = [Totals::default(); 2];
    let mut histograms = [Histogram::new(), Histogram::new()];
    let mut groups = Groups::new(GroupsOf::ConsecutiveRows, 2);
    for (clicked, probabilities) in predictions {
        let losses = probabilities.map(|probability| probability_log_loss(probability, clicked));
        for (model, &probability) in probabilities.iter().enumerate() {
            totals[model].add(losses[model], probability, clicked, 1.0);
            histograms[model].add(logit_of(probability), probability, clicked, 1.0);
        }
        groups.add(None, clicked, 1.0, &losses);
    }
    let draws = groups.draws(seed);
    let differences = draws.differences().into_iter().next();
    let evaluation = |model: usize| {
        let metrics = totals[model].metrics(None);
        ModelEvaluation {
            file: facts(model),
            overall: Overall {
                impressions: metrics.impressions,
                clicks: metrics.clicks,
                not_probability_count: 0,
                mean_probability: totals[model].mean_probability(),
                log_loss: metrics.log_loss,
                normalized_entropy: metrics.normalized_entropy,
                normalized_entropy_interval: draws.entropy_interval(model),
                auc: None,
                pr_auc: None,
                user_auc: None,
                calibration: metrics
                    .calibration_ratio
                    .map(|ratio| calibration(ratio, totals[model].effective_clicks())),
                effective_clicks: None,
                expected_calibration_error: 0.0,
                unseen_rate: 0.0,
            },
            reliability: Vec::new(),
            by: Vec::new(),
            hours: Vec::new(),
            fields: Vec::new(),
            seen: Vec::new(),
            comparison: None,
        }
    };
    let comparison = differences.map(|differences| Comparison {
        population_stability_index: histograms[0].population_stability_index(&histograms[1], SHIFT_BIN_COUNT),
        log_loss_difference: differences.log_loss,
        normalized_entropy_difference: differences.normalized_entropy,
        normalized_entropy_change: differences.normalized_entropy_change,
        bootstrap: differences.bootstrap,
    });
    (ModelEvaluation { comparison, ..evaluation(0) }, evaluation(1))
}

fn facts(model: usize) -> FileFacts {
    FileFacts {
        path: format!("{model}.omomi"),
        len_bytes: 1 << 20,
        digest: model.to_string(),
        generation: model as u64,
        logic_id: "made-up".to_owned(),
        contract: "made-up".to_owned(),
        contract_fingerprint: String::new(),
        encoding: "f32".to_owned(),
        bias: 0.0,
        weight_count: 100_000,
        largest_weight: 1.0,
        fields: Vec::new(),
        training_rows: None,
        training_window_us: None,
        importance_column: None,
    }
}
