//! Opens a weight file and scores two candidates: `cargo run --example score_one_file -- 000042.omomi`.

use omomi::contract::Side;
use omomi::{Capacity, Error, LoadMode, Model, RequestLayout, Schema, SchemaField, Scorer};

fn main() -> Result<(), Error> {
    let path = std::env::args_os().nth(1).expect("usage: score_one_file WEIGHT_FILE");

    // Once, when the server starts: the fields that it supplies. They serve every later model.
    let schema = Schema::new(vec![
        SchemaField::id("media_id", Side::Context),
        SchemaField::text("region", Side::Context),
        SchemaField::id("creative_id", Side::Candidate),
    ])?;
    let layout = RequestLayout::new(&schema, Capacity { candidates: 500, tail_len_bytes: 4_096 })?;
    let media_id = schema.slot("media_id").expect("declared above");
    let region = schema.slot("region").expect("declared above");
    let creative_id = schema.slot("creative_id").expect("declared above");

    // For each generation: every byte is verified, and the golden requests are recomputed.
    let model = Model::load(path.as_ref(), LoadMode::Map)?;

    // For each thread.
    let scorer = Scorer::new(model, &layout)?;
    let mut request = scorer.new_request();

    // For each request: nothing is allocated, nothing waits.
    request.clear();
    request.context().set_id(media_id, 17)?;
    request.context().set_text(region, "tokyo")?;
    request.candidate(0)?.set_id(creative_id, 4_001)?;
    request.candidate(1)?.set_id(creative_id, 4_002)?;
    scorer.predict(&mut request, 2)?;
    for answer in request.answers(2) {
        println!("{:?}: probability {}", answer.status, answer.probability);
    }
    Ok(())
}
