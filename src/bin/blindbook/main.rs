//! The command line: everything that an operator, a registrar or somebody who is curious needs.

#![allow(clippy::disallowed_methods, reason = "the edge: clocks are read here")]

mod canary;
mod config;
mod connection;
mod demo;
mod discover;
mod drill;
mod enrol;
mod failure;
mod files;
mod hex;
mod incident;
mod inspect;
mod keygen;
mod ledger;
mod ledger_keys;
mod mirror;
mod operator;
mod policy;
mod publish;
mod registrar;
mod restore;
mod rotate;
mod seal;
mod sealed_keys;
mod serve;
mod setting;
mod signals;
mod simulate;
mod text;
mod token;
mod verify;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use failure::Failure;
use serde::Serialize;
use text::printable;

/// Private contact discovery: which of your contacts use a service, without showing it your contacts.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// Prints one JSON document instead of text, also for errors
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   2  bad input: an argument, a file, a key or a passphrase that can't be used
   3  refused by the service: quota, credential; the message says when to come back
   4  the service can't be reached
   5  this machine: a disk or a socket failed
  70  a defect of this program or of the service";

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows it all on this machine: a service, a town of 100,000 members, an address book
    Demo(demo::Args),
    /// Plays an incident through on this machine, and checks it: an attacker, honest people, and what an operator does
    Drill(drill::Args),
    /// Makes the keys of a new service, sealed, and a configuration to start with
    Keygen(keygen::Args),
    /// Runs the service
    Serve(serve::Args),
    /// Mints a credential for trying things out
    Token(token::Args),
    /// Enrols members from a file (the registrar's side)
    Enrol(enrol::Args),
    /// Says what the limits of a service buy
    #[command(subcommand)]
    Policy(policy::Command),
    /// Plays an attack on the limits of a service, among honest people
    Simulate(simulate::Args),
    /// Publishes who can be found now
    Publish(publish::Args),
    /// Changes the evaluation key, with all members
    Rotate(rotate::Args),
    /// Lists what detection has found, with what it means and what to do
    Signals(signals::Args),
    /// Members who don't exist: who meets one has tried a number that is in no address book
    #[command(subcommand)]
    Canary(canary::Command),
    /// Goes on with a store that was restored from a backup
    #[command(subcommand)]
    Restore(restore::Command),
    /// Works an incident through: who could be found, what was learned at most, who has to be told
    #[command(subcommand)]
    Incident(incident::Command),
    /// What was done, as evidence that nobody can change unseen
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Copies what is published to an object store
    Mirror(mirror::Args),
    /// Finds which contacts of an address book use a service (the client's side)
    Discover(discover::Args),
    /// Shows or changes who can find an account (with the account's own credential)
    #[command(subcommand)]
    Setting(setting::Command),
    /// Says what is in a segment or a manifest file
    Inspect(inspect::Args),
    /// Checks a whole published folder, or a mirror of it, against the chain of manifests
    Verify(verify::Args),
}

fn main() -> ExitCode {
    let (json, outcome) = match Cli::try_parse() {
        Ok(cli) => {
            let json = cli.json;
            // A panic is a defect like any other, and has its exit code; its message is on standard error.
            let outcome = std::panic::catch_unwind(|| run(cli))
                .unwrap_or_else(|_| Err(Failure::defect("a panic; please report what is above")));
            (json, outcome)
        }
        // Help, and mistakes in arguments for people.
        Err(error) if !error.use_stderr() || !std::env::args_os().any(|word| word == "--json") => {
            error.exit()
        }
        Err(error) => (true, Err(Failure::bad_input(error))),
    };
    match outcome {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::InPart(why)) => {
            if !json {
                complain(&why);
            }
            why.exit_code()
        }
        Err(failure) => {
            if json {
                let document = serde_json::json!({
                    "error": failure.name(),
                    "message": failure.to_string(),
                    "retry_after": failure.retry_after(),
                });
                // The exit code tells it too.
                let _printed = print(&document);
            } else {
                complain(&failure);
            }
            failure.exit_code()
        }
    }
}

/// On standard error. Paths and lines of configurations can be in it; line by line, as there can be several.
fn complain(failure: &Failure) {
    let text = failure.to_string();
    let lines: Vec<_> = text.lines().map(printable).collect();
    let _printed = writeln!(io::stderr(), "blindbook: {}", lines.join("\n"));
}

/// What a command that has shown its report has done.
enum Done {
    All,
    /// Not all, and why: the report says so too.
    InPart(Failure),
}

impl From<Option<Failure>> for Done {
    fn from(why: Option<Failure>) -> Self {
        why.map_or(Self::All, Self::InPart)
    }
}

fn run(cli: Cli) -> Result<Done, Failure> {
    let json = cli.json;
    match cli.command {
        Command::Demo(args) => return demo::run(&args, json).map(Done::from),
        Command::Drill(args) => return drill::run(&args, json).map(Done::from),
        Command::Keygen(args) => emit(&keygen::run(&args)?, json),
        Command::Serve(args) => serve::run(&args, json),
        Command::Token(args) => emit(&token::run(&args)?, json),
        Command::Enrol(args) => emit(&enrol::run(&args)?, json),
        Command::Policy(command) => emit(&policy::run(&command)?, json),
        Command::Simulate(args) => emit(&simulate::run(&args)?, json),
        Command::Publish(args) => emit(&publish::run(&args, json)?, json),
        Command::Rotate(args) => emit(&rotate::run(&args)?, json),
        Command::Canary(command) => emit(&canary::run(&command)?, json),
        Command::Signals(args) => emit(&signals::run(&args)?, json),
        Command::Restore(command) => emit(&restore::run(&command)?, json),
        Command::Incident(command) => {
            let (report, failed) = incident::run(&command, json)?;
            return emit(&report, json).map(|()| failed.into());
        }
        Command::Ledger(command) => {
            let (report, wrong) = ledger::run(&command)?;
            return emit(&report, json).map(|()| wrong.into());
        }
        Command::Mirror(args) => emit(&mirror::run(&args)?, json),
        Command::Discover(args) => {
            let (report, refused) = discover::run(&args)?;
            return emit(&report, json).map(|()| refused.into());
        }
        Command::Setting(command) => emit(&setting::run(&command)?, json),
        Command::Inspect(args) => {
            let (report, forged) = inspect::run(&args)?;
            return emit(&report, json).map(|()| forged.into());
        }
        Command::Verify(args) => {
            let (report, problems) = verify::run(&args)?;
            return emit(&report, json).map(|()| problems.into());
        }
    }?;
    Ok(Done::All)
}

/// Prints a report on standard output.
fn emit<T: Serialize + fmt::Display>(report: &T, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(report).map_err(Failure::defect)?;
        print(&text)
    } else {
        print(report)
    }
}

/// Prints on standard output.
fn print(text: &impl fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever reads it has seen enough: `head`, for example.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|error| Failure::machine(format!("standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_commands_and_their_arguments_fit_together() {
        super::Cli::command().debug_assert();
    }
}
