//! `omomi flow init`: writes the folder of a project.

use std::path::{Path, PathBuf};

use omomi_train::bucket::{NewFile, read_to_string, refuse_to_replace};
use omomi_train::log::generate::CONTRACT;

use std::io::Write;

use crate::Failure;
use crate::contract::read_contract;
use crate::output::say;
use crate::places::FileFailure;

/// The files of a project, besides the contract.
const FILES: [(&str, &str); 9] = [
    ("flow.toml", include_str!("project/flow.toml")),
    ("prune.toml", include_str!("project/prune.toml")),
    ("store/gate.toml", include_str!("project/store/gate.toml")),
    ("store/limits.toml", include_str!("project/store/limits.toml")),
    ("input.json", include_str!("project/input.json")),
    ("flow.asl.json", include_str!("project/flow.asl.json")),
    ("template.yaml", include_str!("project/template.yaml")),
    ("parameters.json", include_str!("project/parameters.json")),
    ("Dockerfile", include_str!("project/Dockerfile")),
];
const README: (&str, &str) = ("README.md", include_str!("project/README.md"));
const CONTRACT_NAME: &str = "contract.toml";

/// Write a project folder: settings of daily training, the flow, and its environment on AWS
///
/// People edit settings, not code; README.md in the folder says which file says what. The flow is written in Amazon
/// States Language: omomi flow run runs it here, and AWS Step Functions runs the same file. Without --contract, the
/// contract is that of generated logs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder to write; it is created if it does not exist
    dir: PathBuf,
    /// Contract of the logs [default: that of omomi generate-log]
    #[arg(long, value_name = "FILE")]
    contract: Option<PathBuf>,
    /// Replace files that exist. Without it, nothing is written if one does
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let contract = match &arguments.contract {
        None => CONTRACT.to_owned(),
        Some(path) => {
            read_contract(path)?;
            read_to_string(path).map_err(FileFailure::reading(path))?
        }
    };
    let files = FILES.into_iter().chain([README, (CONTRACT_NAME, contract.as_str())]);
    let files: Vec<(PathBuf, &str)> = files.map(|(name, text)| (arguments.dir.join(name), text)).collect();
    for (path, _) in &files {
        refuse_to_replace(path, arguments.force).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                let path = path.display();
                return Failure::from(format!("{path} exists: nothing was written; choose another folder, or --force"));
            }
            FileFailure::writing(path)(error).into()
        })?;
    }
    for (path, text) in &files {
        write(path, text, arguments.force).map_err(FileFailure::writing(path))?;
        say!("{}", path.display());
    }
    say!("\nnext: see {}", arguments.dir.join(README.0).display());
    Ok(())
}

fn write(path: &Path, text: &str, replace: bool) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = NewFile::create(path, replace)?;
    file.file().write_all(text.as_bytes())?;
    file.commit()
}
