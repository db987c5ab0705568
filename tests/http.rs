//! The service over real sockets on loopback: what apps and registrars do, what attackers try, what operators see.

#[path = "http/canary.rs"]
mod canary;
#[path = "http/credentials.rs"]
mod credentials;
#[path = "http/flow.rs"]
mod flow;
#[path = "http/hostile.rs"]
mod hostile;
#[path = "http/operator.rs"]
mod operator;
#[path = "http/problems.rs"]
mod problems;
#[path = "http/published.rs"]
mod published;
#[path = "support/raw.rs"]
mod raw;
#[path = "http/rotation.rs"]
mod rotation;
#[path = "support/service.rs"]
mod service;
#[path = "http/setting.rs"]
mod setting;
#[path = "http/shared.rs"]
mod shared;
#[path = "http/signals.rs"]
mod signals;
