//! `omomi amend`: changes single weights of a weight file, in an emergency.

use std::path::{Path, PathBuf};

use omomi::Error;
use omomi_train::adopt::amend::{AmendError, AmendOptions, AmendReport, ChangedWeight, NewWeight, amend};
use omomi_train::bucket::digest_of;
use omomi_train::operate::bucket_store::Needs;
use omomi_train::operate::served::served;
use serde_json::json;

use crate::Failure;
use crate::output::{note, one_line, say};
use crate::refusal::print_json;
use crate::stores::NamedStore;
use crate::text::{grouped, table};

/// Change single weights of a weight file that is served, in seconds and without its state
///
/// The night's repair: a creative whose weight is wrong, a field that must count no more, a bias that is off. The new
/// file is the old one with these changes. Its golden requests are computed again, and its provenance says who changed
/// what and why. It gets a blessing of its own kind, NAME.blessing.json: `omomi publish` accepts it only if the store
/// serves the very file that was amended.
///
///   omomi amend store/generations/000041.omomi --set creative_id=4001:0 --generation 42 --reason 'broken landing page'
///   --out 000042.omomi && omomi publish 000042.omomi --to store
///
/// A category that the file does not have is added. A file can have 128 changed weights. Train soon: the next model
/// knows nothing of the repair.
///
/// Exit code 0: the file was written. 1: it was not. 2: misuse of the command line.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group(clap::ArgGroup::new("changes").required(true).multiple(true).args(["set", "set_bias", "zero_field"])))]
pub(crate) struct Arguments {
    /// Weight file to amend: best the one that the store serves
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// New weight of a category, on the logit scale: creative_id=4001:0, or media_id*creative_id=7*4001:-0.5. May be
    /// given several times
    #[arg(long, value_name = "FIELD=CATEGORY:WEIGHT", value_parser = NewWeight::parse)]
    set: Vec<NewWeight>,
    /// New bias, on the logit scale
    #[arg(long, value_name = "X")]
    set_bias: Option<f64>,
    /// Field or cross that shall add nothing: its weights, and what it adds for unseen categories and missing values.
    /// Crosses of the field stay. May be given several times
    #[arg(long, value_name = "FIELD")]
    zero_field: Vec<String>,
    /// State that the file was packed from; --zero-field needs it for ids, texts and crosses, unless the encoding is i8
    #[arg(long, value_name = "FILE", requires = "zero_field")]
    state: Option<PathBuf>,
    /// Generation of the new file: above that of the old one
    #[arg(long, value_name = "N")]
    generation: u64,
    /// Why the weights are changed; for the provenance
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who changes them; for the provenance [default: the user of this shell]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Weight file to write; the name must be new
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Directory of the store: the command fails unless it serves FILE, as publishing will
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Private key to sign the new file with; a signature of the old file is not valid for it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let by = match &arguments.by {
        Some(by) => by.clone(),
        None => ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
            .ok_or_else(|| {
                AmendError::Change("cannot tell who changes the weights: pass --by NAME, or set USER".to_owned())
            })?,
    };
    if let Some(dir) = &arguments.store {
        check_served(arguments, dir)?;
    }
    let mut options = AmendOptions::new(&arguments.file, arguments.generation, &arguments.out, by, &arguments.reason);
    options.weights.clone_from(&arguments.set);
    options.bias = arguments.set_bias;
    options.zero_fields.clone_from(&arguments.zero_field);
    options.state.clone_from(&arguments.state);
    options.key.clone_from(&arguments.key);
    let report = amend(&options)?;
    if arguments.json {
        print_json(&json!({
            "amended": {
                "generation": report.model.generation(),
                "generation_before": report.generation_before,
                "amended_digest": report.amended_digest.to_string(),
                "weights": report.weights,
                "bias": report.bias,
                "zeroed": report.zeroed.iter().map(|(field, _)| field).collect::<Vec<_>>(),
                "blessing": report.blessing.display().to_string(),
            },
        }));
    } else {
        print_report(&report, arguments);
    }
    Ok(())
}

/// Fails unless the store serves the file, as publishing would.
fn check_served(arguments: &Arguments, dir: &Path) -> Result<(), Failure> {
    let of_store = |source| AmendError::WeightFile { path: dir.to_owned(), source };
    let named = NamedStore::open(dir)?;
    let store = named.read(Needs { served_file: true, ..Needs::default() })?;
    let served = served(store).map_err(of_store)?;
    let file = &arguments.file;
    let found = digest_of(file).map_err(|source| AmendError::WeightFile {
        path: file.clone(),
        source: Error::File { action: "read", path: file.clone(), source },
    })?;
    let (file, dir) = (file.display(), dir.display());
    match served {
        Some(served) if served.digest == found => Ok(()),
        Some(served) => Err(AmendError::Change(format!(
            "{file}: expected the file that the store {dir} serves, which is {}, found another one",
            named.named(&served.path.display().to_string())
        ))
        .into()),
        None => Err(AmendError::Change(format!("the store {dir} serves no file that could be amended")).into()),
    }
}

fn print_report(report: &AmendReport, arguments: &Arguments) {
    let mut rows = Vec::new();
    if let Some([old, new]) = report.bias {
        rows.push(vec!["(bias)".to_owned(), String::new(), format!("{old:+.6}"), format!("{new:+.6}"), String::new()]);
    }
    for (field, count) in &report.zeroed {
        let count = count.map_or_else(|| "all weights".to_owned(), |count| format!("{} weights", grouped(count)));
        rows.push(vec![field.clone(), count, "-".to_owned(), "+0.000000".to_owned(), String::new()]);
    }
    for changed in &report.weights {
        let ChangedWeight { field, category, old, new, was_found } = changed;
        let note = if *was_found { "" } else { "unseen before" };
        let numbers = [old, new].map(|weight| format!("{weight:+.6}"));
        let [old, new] = numbers;
        rows.push(vec![field.clone(), one_line(category), old, new, note.to_owned()]);
    }
    say!("{}", table(&["field", "category", "before", "now", ""], rows));
    say!(
        "\nGeneration {} of generation {}: {}",
        report.model.generation(),
        report.generation_before,
        arguments.out.display()
    );
    say!("Blessed for a store that serves what was amended: {}", report.blessing.display());
    say!("next: omomi publish {} --to STORE", arguments.out.display());
    if arguments.key.is_none() {
        note!("the file is not signed; if the store requires it, amend again with --key");
    }
}
