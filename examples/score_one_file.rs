//! Opens a weight file and scores two candidates:
//! `cargo run --example score_one_file -- examples/generated-ctr.omomi`.

/// Made by `omomi contract generate --rust examples/generated-ctr.toml`.
#[path = "fields/generated_ctr.rs"]
mod generated_ctr;

use generated_ctr::GeneratedCtr;
use omomi::{Capacity, Error, LoadMode, Model, RequestLayout, Scorer};

fn main() -> Result<(), Error> {
    let path = std::env::args_os().nth(1).expect("usage: score_one_file WEIGHT_FILE");

    // Once, when the server starts: the fields that it supplies. They serve every later model.
    let (schema, ad) = GeneratedCtr::declare()?;
    let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 4_096 })?;

    // For each generation: every byte is verified, and the golden requests are recomputed.
    let model = Model::load(path, LoadMode::Map)?;

    // For each thread.
    let scorer = Scorer::new(model, &layout)?;
    let mut request = scorer.new_request();

    // For each request: nothing is allocated, nothing waits.
    request.clear();
    request.context().set_id(ad.site_id, 7)?;
    request.context().set_text(ad.region, "東京都")?;
    request.candidate(0)?.set_id(ad.creative_id, 1_624)?;
    request.candidate(1)?.set_id(ad.creative_id, 2_519)?;
    scorer.predict(&mut request, 2)?;
    for answer in request.answers(2) {
        println!("{:?}: probability {}", answer.status, answer.probability);
    }
    Ok(())
}
