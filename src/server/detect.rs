//! Detection: what hours of requests tell about enumeration, without anybody having seen a number.
//!
//! Layer 4: stands on what the quota counts and must not know where rows are stored, or what is done about a signal.
//!
//! | signal | raised when | what it means | what escapes it |
//! |---|---|---|---|
//! | `saturated-account` | an account has used most of a day's refill on most days of two weeks | it looks numbers up as fast as it may; an address book comes to an end | whoever does with less, in more accounts |
//! | `young-cluster` | many more young accounts of a network begin to ask in an hour than usually do there | somebody makes accounts | accounts spread over networks |
//! | `unusual-day` | more elements, or more emptied buckets, in a day than on any day of four weeks, by half | many accounts at once, however spread | what is small beside the honest |
//! | `canary` | somebody has met a member who doesn't exist | a number was tried that no address book has: near proof | whoever doesn't use what was found |
//!
//! Detection runs on finished hours, in the step that seals them into the ledger. It decides nothing: a person reads a
//! signal, and suspends. The rates at which honest people raise signals are measured by simulation, and are in README.

mod account;
mod day;
mod network;
mod rows;
mod rules;
mod signal;
#[cfg(test)]
mod tests;
mod words;

pub use account::{Watched, accounts};
pub use network::{NetworkUsual, networks};
pub use rows::{DetectRows, SignalRows};
pub use rules::{DetectRules, DetectRulesError};
pub use signal::{Signal, SignalKind, Subject};
