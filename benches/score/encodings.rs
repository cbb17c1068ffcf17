//! One model in each encoding. Smaller encodings have more tags per line to compare, and fewer lines.

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
    let models: Vec<(Encoding, Arc<Model>, Scorer)> = Encoding::ALL
        .into_iter()
        .map(|encoding| {
            let model = traffic.write_in(&folder.path().join(encoding.name()), encoding);
            // This checks that the kernel and its plain twin give the same answers.
            let _ = Answers::of(&traffic, &model);
            let scorer = Scorer::new(Arc::clone(&model), &layout).expect("a scorer");
            (encoding, model, scorer)
        })
        .collect();

    let mut contest = Contest::new("encodings", "candidate", shape.candidate_count as u64);
    for (encoding, model, scorer) in &models {
        let name = encoding.name();
        let fill = |request: &mut Request, index| traffic.fill(request, index);
        let predict = |request: &mut Request, count| scorer.predict(request, count);
        contest.enter_timed(&format!("predict alone, {name}"), predict_alone(&traffic, &layout, fill, predict));
        contest.enter(&format!("its look-ups, {name}"), look_ups(&traffic, model, true));
    }
    bench.run(contest);
}
