//! `omomi flow`: the flow of daily training, here and on AWS.

mod deploy;
mod init;

use clap::Subcommand;

use crate::Failure;

/// Train, judge and publish every day: set up a project, and run its flow here or on AWS
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: FlowCommand,
}

#[derive(Subcommand)]
enum FlowCommand {
    Init(init::Arguments),
    Deploy(deploy::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        FlowCommand::Init(arguments) => init::run(arguments),
        FlowCommand::Deploy(arguments) => deploy::run(arguments),
    }
}
