//! `omomi pages`: writes the manual and the shell completions, both made from the flags. A hidden command, for
//! `.ci/release` and for people who package the command.

use std::fs;
use std::path::PathBuf;

use clap_complete::Shell;
use clap_complete::generate_to as write_completions;
use clap_mangen::generate_to as write_manual;

use crate::Failure;

/// Write a manual page for each command, and completions for bash, zsh and fish
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder to write into: the manual goes into its folder `man1`
    folder: PathBuf,
}

/// Writes the pages of `command`, which is the whole command line.
pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> Result<(), Failure> {
    let manual = arguments.folder.join("man1");
    let written = fs::create_dir_all(&manual).and_then(|()| {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            write_completions(shell, &mut command, "omomi", &arguments.folder)?;
        }
        write_manual(command, &manual)
    });
    written.map_err(|error| format!("{}: the pages cannot be written: {error}", arguments.folder.display()).into())
}
