//! Where the files of a command are: paths and addresses of objects, and those that stay on this machine.

use std::any::TypeId;
use std::io;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use omomi_train::bucket::Place;

/// Arguments that take a path of this machine only: command, argument, and what it is. Every other path may be an
/// address.
const LOCAL: &[(&str, &str, &str)] = &[
    ("ab", "experiment_file", "the file of an experiment, which servers follow"),
    ("demo", "dir", "the demo"),
    ("demo", "data", "the data of the demo"),
    ("drill", "dir", "the copy of a store that is broken on purpose"),
    ("drill", "scratch", "the copy of a store that is broken on purpose"),
    ("drill-server", "dir", "the store that the server follows"),
    ("experiment check", "file", "the file of an experiment, which servers follow"),
    ("experiment share", "file", "the file of an experiment, which servers follow"),
    ("experiment start", "file", "the file of an experiment, which servers follow"),
    ("experiment status", "file", "the file of an experiment, which servers follow"),
    ("experiment stop", "file", "the file of an experiment, which servers follow"),
    ("fetch", "dir", "the store that servers follow"),
    ("flow deploy", "project", "the folder of a project"),
    ("flow init", "dir", "the folder of a project"),
    ("flow run", "dir", "the folder of a flow"),
    ("flow run", "flow", "the definition of a flow"),
    ("flow run", "input", "the input of a flow"),
    ("flow status", "dir", "the folder of a flow"),
    ("flow status", "flow", "the definition of a flow"),
    ("flow status", "page", "the page of a flow"),
    ("flow status", "history", "the history of a flow"),
    ("generate-log", "out", "a generated log"),
    ("keygen", "out", "a private key"),
    ("log replay", "store", "the store that servers followed"),
    ("pages", "folder", "the manual"),
    ("plan", "project", "the folder of the settings"),
    ("preflight", "jar", "the library of servers"),
    ("preflight", "java", "the library of servers"),
    ("preflight", "jni_library", "the library of servers"),
    ("preflight", "library", "the library of servers"),
    ("preflight-load", "file", "a copy of the weight file"),
    ("preflight-load", "library", "the library of servers"),
    ("sign", "key", "a private key"),
    ("amend", "key", "a private key"),
    ("simulate", "gate", "the simulation"),
    ("simulate month", "figures", "the simulation"),
    ("train", "cache", "the row cache"),
    ("train", "work_dir", "the work folder"),
];
/// Arguments of several commands that take a path of this machine only.
const LOCAL_EVERYWHERE: &[(&str, &str)] = &[("keys", "a key")];

/// What an argument names, if it stays on this machine.
fn local(command: &str, argument: &str) -> Option<&'static str> {
    let own = LOCAL.iter().find(|(of, name, _)| (*of, *name) == (command, argument)).map(|(.., what)| *what);
    own.or_else(|| LOCAL_EVERYWHERE.iter().find(|(name, _)| *name == argument).map(|(_, what)| *what))
}

fn is_path(argument: &clap::Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<PathBuf>()
}

/// Lets every path be an address, `file:///path` among them, and refuses addresses where files stay on this machine.
pub(crate) fn with_places(command: clap::Command) -> clap::Command {
    of_commands(command, "")
}

fn of_commands(command: clap::Command, outer: &str) -> clap::Command {
    let path = |command: &clap::Command| match outer {
        // The program itself.
        _ if command.get_name() == "omomi" => String::new(),
        "" => command.get_name().to_owned(),
        outer => format!("{outer} {}", command.get_name()),
    };
    let path = path(&command);
    command
        .mut_args(|argument| {
            if !is_path(&argument) {
                return argument;
            }
            let what = local(&path, argument.get_id().as_str());
            argument.value_parser(PathBufValueParser::new().try_map(move |path| place(path, what)))
        })
        .mut_subcommands(|inner| of_commands(inner, &path))
}

fn place(path: PathBuf, what: Option<&'static str>) -> Result<PathBuf, String> {
    match (Place::of(&path), what) {
        (Ok(Place::Disk(path)), _) => Ok(path),
        (Ok(Place::Bucket(address)), None) => Ok(address.to_string().into()),
        (Ok(Place::Bucket(_)) | Err(_), Some(what)) => {
            Err(format!("{what} stays on this machine: expected a path, found an address"))
        }
        // The command says it, with its owner.
        (Err(_), None) => Ok(path),
    }
}

/// A file or an object that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be {verb}", path.display())]
pub(crate) struct FileFailure {
    path: PathBuf,
    /// `read` or `written`.
    verb: &'static str,
    source: io::Error,
}

impl FileFailure {
    /// Says that `path` cannot be read.
    pub(crate) fn reading(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, verb: "read", source }
    }

    /// Says that `path` cannot be written.
    pub(crate) fn writing(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, verb: "written", source }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// All arguments that are paths, with their commands.
    fn paths(command: &clap::Command, outer: &str, found: &mut Vec<(String, String)>) {
        for inner in command.get_subcommands() {
            let path = format!("{outer} {}", inner.get_name()).trim().to_owned();
            let of_inner = inner.get_arguments().filter(|argument| is_path(argument));
            found.extend(of_inner.map(|argument| (path.clone(), argument.get_id().to_string())));
            paths(inner, &path, found);
        }
    }

    #[test]
    fn what_stays_on_this_machine_is_an_argument_of_its_command() {
        let mut found = Vec::new();
        paths(&crate::Cli::command(), "", &mut found);
        for (command, argument, _) in LOCAL {
            assert!(found.contains(&((*command).to_owned(), (*argument).to_owned())), "{command} {argument}");
        }
        for (argument, _) in LOCAL_EVERYWHERE {
            assert!(found.iter().any(|(_, found)| found == argument), "{argument}");
        }
    }

    #[test]
    fn an_address_is_refused_where_files_stay_on_this_machine() {
        let parse = |arguments: &[&str]| {
            let all = [&["omomi"], arguments].concat();
            with_places(crate::Cli::command()).try_get_matches_from(all).map_err(|error| error.to_string())
        };
        parse(&["inspect", "s3://ads/a.omomi"]).unwrap();
        let matches = parse(&["inspect", "file:///a/b.omomi"]).unwrap();
        let file = matches.subcommand().unwrap().1.get_one::<PathBuf>("file");
        assert_eq!(file, Some(&PathBuf::from("/a/b.omomi")));
        for arguments in [
            &["keygen", "--out", "s3://ads/key"][..],
            &["fetch", "s3://ads/a", "gs://ads/b"],
            &["train", "--contract", "a", "--logs", "b", "--state", "c", "--cache", "az://ads/a"],
        ] {
            let said = parse(arguments).unwrap_err();
            assert!(said.contains("stays on this machine: expected a path, found an address"), "{said}");
        }
    }
}
