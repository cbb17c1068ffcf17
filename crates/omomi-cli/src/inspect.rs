//! `omomi inspect`: prints the contents of a weight file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use omomi::contract::FieldKind;
use omomi::{LoadMode, Model};
use omomi_train::evaluate::field_weights;
use omomi_train::learn::state::StateReader;

use crate::Failure;
use crate::output::{print_pieces, say};
use crate::text::{bytes, grouped, table};
use crate::verify::load;

/// Show the header, sections, contract, provenance and weights per field of a weight file
///
/// The file is verified first. A damaged file is rejected and nothing of it is shown.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Weight file to show
    file: PathBuf,
    /// Training state that it was packed from: adds the largest weights with their categories
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Number of largest weights to show, with --state
    #[arg(long, value_name = "N", default_value_t = 20)]
    largest: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let model = load(&arguments.file, LoadMode::Map)?;
    print_header(&model, &arguments.file);
    print_sections(&model);
    print_contract(&model);
    print_field_sizes(&model);
    print_default_weights(&model);
    print_pieces(format_args!("provenance\n{:#}\n", model.provenance()));
    if let Some(state) = &arguments.state {
        print_largest(&model, state, arguments.largest)?;
    }
    Ok(())
}

fn print_header(model: &Model, path: &Path) {
    let header = model.header();
    let file_id: String = header.file_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let calibrator = model.calibrator();
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        row("logic id", model.logic_id().to_owned()),
        row("generation", header.generation.to_string()),
        row("format version", format!("{} (readers from {})", header.format_version, header.oldest_reader)),
        row("file id", file_id),
        row("length", format!("{} bytes", grouped(header.total_len_bytes))),
        row("weights", grouped(model.weight_count())),
        row("encoding", encoding(model)),
        row("exceptions", grouped(model.exception_count())),
        row("bias", format!("{:.6}", model.bias())),
        row("probabilities", format!("{:e} to {}", calibrator.min, calibrator.max)),
        row("contract", format!("{} ({:016x})", model.contract().name(), model.contract().fingerprint())),
    ];
    say!("{}\n{}\n", path.display(), table(&[], rows));
}

/// Returns the encoding of the weights, with the range of its scales if it has scales.
fn encoding(model: &Model) -> String {
    let table = model.table();
    let name = table.encoding().name();
    if !table.encoding().has_scales() {
        return name.to_owned();
    }
    let group_count = model.contract().fields().len() + model.contract().crosses().len();
    let (min, max) = (0..group_count)
        .map(|group| table.scale(group))
        .fold((f32::INFINITY, 0.0_f32), |(min, max), scale| (min.min(scale), max.max(scale)));
    format!("{name} (scales from {min:.3e} to {max:.3e})")
}

fn print_sections(model: &Model) {
    let rows = model.header().sections.iter().map(|section| {
        vec![
            section.kind_number.to_string(),
            section.name(),
            grouped(section.offset),
            grouped(section.len_bytes),
            section.chunk_count.to_string(),
        ]
    });
    say!("{}\n", table(&["kind", "section", "offset", "bytes", "chunks"], rows.collect()));
}

fn print_contract(model: &Model) {
    let contract = model.contract();
    let fields = contract.fields().iter().map(|field| {
        let unit = match &field.kind {
            // What a declaration needs, in the form that source code has.
            FieldKind::Number { unit, range: [min, max], .. } => format!(" in {unit}, {min:?} to {max:?}"),
            FieldKind::Id | FieldKind::Text => String::new(),
        };
        let many = if field.many { "many " } else { "" };
        vec![field.name.clone(), field.side.word().to_owned(), format!("{many}{}{unit}", field.kind.word())]
    });
    let crosses = contract.crosses().iter().map(|cross| {
        let side = contract.cross_side(cross).map_or("context x candidate", |side| side.word());
        vec![contract.cross_name(cross), side.to_owned(), "cross".to_owned()]
    });
    say!("{}\n", table(&["field", "side", "type"], fields.chain(crosses).collect()));
}

fn print_field_sizes(model: &Model) {
    let fields = field_weights(model);
    if fields.is_empty() {
        return;
    }
    let rows = fields.into_iter().map(|it| vec![it.field, grouped(it.weight_count), bytes(it.len_bytes)]);
    say!("{}\n", table(&["field", "weights", "about"], rows.collect()));
}

fn print_default_weights(model: &Model) {
    if model.default_weights().is_empty() {
        return;
    }
    let rows = model.contract().fields().iter().zip(model.default_weights()).map(|(field, weights)| {
        vec![field.name.clone(), format!("{:+.4}", weights.unseen), format!("{:+.4}", weights.missing)]
    });
    say!("{}\n", table(&["field", "unseen adds", "missing adds"], rows.collect()));
}

fn print_largest(model: &Model, state: &Path, count: usize) -> Result<(), Failure> {
    let mut reader = StateReader::open(state)?;
    if reader.metadata().contract.fingerprint() != model.contract().fingerprint() {
        return Err(format!("{} was trained with a different contract than the weight file; name the state that the file was packed from", state.display()).into());
    }
    let contract = model.contract();
    let fields = contract.fields().iter().map(|field| field.name.clone());
    let crosses = contract.crosses().iter().map(|cross| contract.cross_name(cross));
    let groups: HashMap<String, usize> = fields.chain(crosses).zip(0..).collect();
    let mut largest: Vec<(f32, String, String, u64)> = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        for row in batch.rows() {
            let Some(weight) = model.table().get(row.key).filter(|_| !row.is_bias()) else { continue };
            let weight = weight * model.table().scale(groups.get(row.field).copied().unwrap_or(0));
            let at = largest.partition_point(|other| other.0.abs() >= weight.abs());
            if at < count {
                largest.insert(at, (weight, row.field.to_owned(), row.category.to_owned(), row.impressions));
                largest.truncate(count);
            }
        }
    }
    let rows = largest
        .into_iter()
        .map(|(weight, field, category, impressions)| {
            vec![format!("{weight:+.4}"), field, category, grouped(impressions)]
        })
        .collect();
    say!("largest weights\n{}", table(&["weight", "field", "category", "impressions"], rows));
    Ok(())
}
