//! The `omomi` command: parses the flags, calls the library once, prints text.
//!
//! Results go to standard output. Progress and one error go to standard error. The exit code is 0 (done), 1 (failed) or
//! 2 (misuse). `omomi gate`, `omomi profile`, `omomi plan` and `omomi preflight` also have 3 (held back), `omomi
//! contract diff`, `omomi compare` and `omomi log drift` have 3 (they differ), and the gate has 4 (cannot tell). `omomi
//! ab` and `omomi counterfactual` have 3 (the data are broken) and 4 (cannot tell). `omomi stage` has the exit code of
//! its command. `omomi flow run` has 3 and 75 if such a task ended it. `omomi status --check` and `omomi experiment
//! check` exit with 5 if something is wrong. 75 means that a bucket could not be reached, or that logs are still to
//! come, so that trying again may help. A command whose output cannot be written has failed. If the reader of a pipe
//! closed it, as `head` does, there is no message, and the exit code is 141.

mod ab;
mod amend;
mod average;
mod baseline;
mod bench;
mod compare;
mod contract;
mod control;
mod counterfactual;
mod csv_flags;
mod demo;
mod drill;
mod evaluate;
mod experiment;
mod explain;
mod fetch;
mod fixture;
mod flow;
mod gate;
mod gc;
mod generate_log;
mod hold_out_flags;
mod import;
mod importance_flags;
mod inspect;
mod log;
mod output;
mod owner;
mod pack;
mod pages;
mod places;
mod plan;
mod predict;
mod preflight;
mod profile;
mod progress;
mod prune;
mod publish;
mod recalibrate;
mod refusal;
mod report;
mod sign;
mod simulate;
mod stage;
mod status;
mod stores;
mod text;
mod train;
mod train_shards;
mod tune;
mod verify;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use omomi::store::Scoring;
use omomi_train::bucket::BucketError;
use omomi_train::plan::PlanError;

use crate::output::note;

/// Train click-through-rate models from ad logs and pack them into weight files that a server maps and scores.
#[derive(Parser)]
#[command(
    name = "omomi",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = "A path may be an address: s3://bucket/key, gs://bucket/key, az://container/key or file:///path. Caches, \
                  work folders, keys and the directories that servers follow stay on this machine."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    GenerateLog(generate_log::Arguments),
    Contract(contract::Arguments),
    Plan(plan::Arguments),
    Stage(stage::Arguments),
    Preflight(preflight::Arguments),
    #[command(hide = true)]
    PreflightLoad(preflight::LoadArguments),
    Train(Box<train::Arguments>),
    Tune(Box<tune::Arguments>),
    Import(Box<import::Arguments>),
    Baseline(Box<baseline::Arguments>),
    Average(average::Arguments),
    Recalibrate(recalibrate::Arguments),
    Prune(Box<prune::Arguments>),
    Pack(pack::Arguments),
    #[command(hide = true)]
    Pages(pages::Arguments),
    Fixture(fixture::Arguments),
    Evaluate(evaluate::Arguments),
    Predict(predict::Arguments),
    Compare(compare::Arguments),
    Gate(Box<gate::Arguments>),
    Profile(Box<profile::Arguments>),
    Report(report::Arguments),
    Explain(explain::Arguments),
    Inspect(inspect::Arguments),
    Verify(verify::Arguments),
    Bench(bench::Arguments),
    Keygen(sign::KeygenArguments),
    Sign(sign::SignArguments),
    Publish(publish::Arguments),
    Amend(amend::Arguments),
    Drill(drill::Arguments),
    #[command(hide = true)]
    DrillServer(drill::ServerArguments),
    #[command(hide = true)]
    Simulate(simulate::Arguments),
    Fetch(fetch::Arguments),
    Flow(flow::Arguments),
    Status(status::Arguments),
    Log(Box<log::Arguments>),
    Ab(Box<ab::Arguments>),
    Counterfactual(Box<counterfactual::Arguments>),
    Experiment(Box<experiment::Arguments>),
    Rollback(control::RollbackArguments),
    Pin(control::PinArguments),
    Freeze(control::FreezeArguments),
    /// Undo rollback, pin or freeze: servers serve what is published again
    Follow(control::SwitchArguments),
    /// Switch scoring off: servers use their own logic
    Off(control::SwitchArguments),
    /// Switch scoring on; rollback, pin and freeze stay in force
    On(control::SwitchArguments),
    Unquarantine(control::UnquarantineArguments),
    Gc(gc::Arguments),
}

/// Exit code of a command whose reader closed the pipe: that of a program that the signal SIGPIPE ended, in a shell.
const CLOSED_PIPE: u8 = 141;

/// Exit code of a command that a service or the network failed, so that it may be tried again: that of `EX_TEMPFAIL`.
pub(crate) const TEMPORARY: u8 = 75;

/// The error that ends a command. `main` prints its message.
pub(crate) type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let matches = places::with_places(command()).try_get_matches();
    let code = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => run(cli.command),
        Err(misuse) => answer(&misuse),
    };
    match output::finish() {
        // The command's own failure says more.
        _ if code != 0 => ExitCode::from(code),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(CLOSED_PIPE),
        Err(error) => {
            note!(
                "error: standard output cannot be written: {error}; the command did its work, but its output is \
                 incomplete: write it to another place"
            );
            ExitCode::FAILURE
        }
    }
}

/// The command line, with all commands.
fn command() -> clap::Command {
    with_negative_values(Cli::command())
}

/// Takes a negative number after a flag as its value, so that an error names the flag, not an unknown flag `-0`.
fn with_negative_values(command: clap::Command) -> clap::Command {
    let with_value = |flag: clap::Arg| {
        let takes_values = flag.get_action().takes_values() && !flag.is_positional();
        if takes_values { flag.allow_negative_numbers(true) } else { flag }
    };
    command.mut_args(with_value).mut_subcommands(with_negative_values)
}

/// Runs a command, and returns its exit code.
fn run(command: Command) -> u8 {
    let outcome = match command {
        Command::Ab(arguments) => ab::run(&arguments),
        Command::Amend(arguments) => amend::run(&arguments),
        Command::Average(arguments) => average::run(&arguments),
        Command::Baseline(arguments) => baseline::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Contract(arguments) => contract::run(&arguments),
        Command::Counterfactual(arguments) => counterfactual::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Drill(arguments) => drill::run(&arguments),
        Command::DrillServer(arguments) => drill::run_server(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Experiment(arguments) => experiment::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Fixture(arguments) => fixture::run(&arguments),
        Command::Flow(arguments) => flow::run(&arguments),
        Command::Follow(arguments) => control::run_follow(&arguments),
        Command::Freeze(arguments) => control::run_freeze(&arguments),
        Command::Gate(arguments) => gate::run(&arguments),
        Command::Gc(arguments) => gc::run(&arguments),
        Command::GenerateLog(arguments) => generate_log::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Keygen(arguments) => sign::run_keygen(&arguments),
        Command::Log(arguments) => log::run(&arguments),
        Command::Off(arguments) => control::run_switch(&arguments, Scoring::Off),
        Command::On(arguments) => control::run_switch(&arguments, Scoring::On),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Pages(arguments) => pages::run(&arguments, Cli::command()),
        Command::Pin(arguments) => control::run_pin(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Preflight(arguments) => preflight::run(&arguments),
        Command::PreflightLoad(arguments) => preflight::run_load(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Recalibrate(arguments) => recalibrate::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Rollback(arguments) => control::run_rollback(&arguments),
        Command::Sign(arguments) => sign::run_sign(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Stage(arguments) => stage::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Unquarantine(arguments) => control::run_unquarantine(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    let Err(failure) = outcome else { return 0 };
    // The command of a stage has said why.
    if let Some(ended) = failure.downcast_ref::<stage::Ended>() {
        return ended.exit_code();
    }
    note!("error: {}", message_with_causes(failure.as_ref()));
    if let Some(owner) = owner::owner_of(failure.as_ref()) {
        note!("  who must act: {}", owner.word());
    }
    if let Some(error) = BucketError::within(failure.as_ref()) {
        note!("  what to do: {}", error.action());
    }
    match () {
        () if failure.is::<preflight::BeyondLimits>() || failure.is::<plan::HeldBack>() => 3,
        () if is_held_back(failure.as_ref()) => 3,
        () if failure.is::<profile::Jumped>() || failure.is::<contract::Differs>() => 3,
        () if failure.is::<compare::Different>() || failure.is::<log::Drifted>() => 3,
        () if failure.is::<status::Wrong>() || failure.is::<experiment::ArmsWrong>() => 5,
        () if owner::is_temporary(failure.as_ref()) => TEMPORARY,
        () => failure
            .downcast_ref::<gate::NotPassed>()
            .map(gate::NotPassed::exit_code)
            .or_else(|| failure.downcast_ref::<ab::Blocked>().map(ab::Blocked::exit_code))
            .or_else(|| failure.downcast_ref::<flow::FlowFailed>().map(flow::FlowFailed::exit_code))
            .unwrap_or(1),
    }
}

/// Whether a plan was held back, so that its stages do nothing.
fn is_held_back(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure.downcast_ref::<PlanError>().is_some_and(|error| matches!(error, PlanError::HeldBack { .. }))
}

/// Prints the help, the version, or the mistake in the command line, and returns the exit code.
fn answer(misuse: &clap::Error) -> u8 {
    let is_printed = misuse.print();
    let code = u8::try_from(misuse.exit_code()).unwrap_or(1);
    if code == 0 {
        output::note_written(is_printed);
    }
    code
}

/// Returns the message of an error, followed by the messages of its causes, each once.
fn message_with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
