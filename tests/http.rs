//! The service over real sockets on loopback: what apps and registrars do, what attackers try, what operators see.

#[path = "http/flow.rs"]
mod flow;
#[path = "http/problems.rs"]
mod problems;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/service.rs"]
mod service;
