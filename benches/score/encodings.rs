//! One model in each encoding, without and with default weights. Smaller encodings have more tags per line to compare,
//! and fewer lines; default weights are filled in where a look-up finds nothing.

use std::sync::Arc;

use omomi::weight_file::table::Encoding;
use omomi::{Model, Request, Scorer};

use crate::answers::Answers;
use crate::calls::{look_ups, predict_alone};
use crate::support::contest::{Bench, Contest};
use crate::support::requests::{Shape, Traffic};

pub fn run(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let layout = traffic.layout();
    let kinds = Encoding::ALL.into_iter().flat_map(|encoding| [(encoding, false), (encoding, true)]);
    let models: Vec<(String, Arc<Model>, Scorer)> = kinds
        .map(|(encoding, has_defaults)| {
            let name = format!("{}{}", encoding.name(), if has_defaults { " with default weights" } else { "" });
            let model = traffic.write_in(&folder.path().join(&name), encoding, has_defaults);
            // This checks that the kernel and its plain twin give the same answers.
            let _ = Answers::of(&traffic, &model);
            let scorer = Scorer::new(Arc::clone(&model), &layout).expect("a scorer");
            (name, model, scorer)
        })
        .collect();

    let mut contest = Contest::new("encodings", "candidate", shape.candidate_count as u64);
    for (name, model, scorer) in &models {
        let fill = |request: &mut Request, index| traffic.fill(request, index);
        let predict = |request: &mut Request, count| scorer.predict(request, count);
        contest.enter_timed(&format!("predict alone, {name}"), predict_alone(&traffic, &layout, fill, predict));
        if model.default_weights().is_empty() {
            contest.enter(&format!("its look-ups, {name}"), look_ups(&traffic, model, true));
        }
    }
    bench.run(contest);
}
