//! `omomi flow`: runs the job flow of a project folder, and shows how far it has come.

mod deploy;
mod init;
mod run;
mod status;

use clap::Subcommand;

use crate::Failure;

pub(crate) use run::FlowFailed;

/// Train, judge and publish every day: set up a project folder, run its job flow, and show its progress
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
    Init(init::Arguments),
    Deploy(deploy::Arguments),
    Run(run::Arguments),
    Status(status::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Init(arguments) => init::run(arguments),
        Command::Deploy(arguments) => deploy::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Status(arguments) => status::run(arguments),
    }
}
