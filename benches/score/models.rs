//! Three models for the same requests: an A/B test with two arms and a shadow model.

use std::sync::Arc;

use omomi::{Model, Request, Scorer};

use crate::answers::Answers;
use crate::calls::predict_alone;
use crate::support::contest::{Bench, Contest};
use crate::support::requests::{Shape, Traffic};

pub fn run(bench: &mut Bench, shape: Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traffic = Traffic::new(shape);
    let models: Vec<Arc<Model>> =
        (0..3).map(|arm| traffic.write(&folder.path().join(format!("{arm:06}.omomi")), arm)).collect();
    let layout = traffic.layout();
    let scorers: Vec<Scorer> =
        models.iter().map(|model| Scorer::new(Arc::clone(model), &layout).expect("a scorer")).collect();
    let layout = layout.for_models(models.len()).expect("a layout");
    let together = Scorer::for_models(models.clone(), &layout).expect("a scorer");
    let fill = |request: &mut Request, index| traffic.fill(request, index);
    for (index, model) in models.iter().enumerate() {
        let answers = Answers::by(&traffic, &together, index, fill);
        assert!(answers == Answers::of(&traffic, model), "a model among others answers as it does alone");
    }

    let mut contest = Contest::new("models", "candidate", shape.candidate_count as u64);
    let one = |request: &mut Request, count| scorers[0].predict(request, count);
    contest.enter_timed("1 model", predict_alone(&traffic, scorers[0].layout(), fill, one));
    let each = |request: &mut Request, count| scorers.iter().try_for_each(|scorer| scorer.predict(request, count));
    contest.enter_timed("3 models, a call each", predict_alone(&traffic, scorers[0].layout(), fill, each));
    let all = |request: &mut Request, count| together.predict(request, count);
    contest.enter_timed("3 models, one call", predict_alone(&traffic, &layout, fill, all));
    bench.run(contest);
}
