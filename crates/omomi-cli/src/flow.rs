//! `omomi flow`: runs the job flow of a project folder, and shows how far it has come.

mod run;
mod status;

use clap::Subcommand;

use crate::Failure;

pub(crate) use run::FlowFailed;

/// Run the job flow of a project folder, and show its progress
///
/// The flow is a state machine in Amazon States Language, flow.asl.json. AWS Step Functions runs the same file:
/// docs/flow.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Status(status::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Status(arguments) => status::run(arguments),
    }
}
