//! Metrics: numbers about the service, never about anybody.
//!
//! | metric | |
//! |---|---|
//! | `blindbook_requests_total{route,status}` | requests answered |
//! | `blindbook_problems_total{problem}` | requests refused, by the name of the problem |
//! | `blindbook_request_seconds{route}` | time from head to head |
//! | `blindbook_elements_total{kind}` | elements: `charged`, `replayed` without charge, or `carried` over from the epoch before |
//! | `blindbook_member_changes_total` | changes that registrars made |
//! | `blindbook_setting_changes_total` | identifiers that got another setting by whoever has their handle |
//! | `blindbook_key_evaluations` | elements that the current key has evaluated |
//! | `blindbook_key_warning` | 1 once the key should be rotated |
//! | `blindbook_ledger_behind_hours` | hours between now and the oldest one that isn't in the ledger: at most 1, and from 25 on nothing is evaluated |
//! | `blindbook_day_elements{who}` | elements of today: of `everybody`, of `new_accounts` |
//! | `blindbook_day_limit{who}` | how many there may be today |
//! | `blindbook_service_warning` | 1 while everybody together has used `service.page_percent` of today's limit |
//! | `blindbook_signals_total{kind}` | signals of detection: `saturated-account`, `young-cluster`, `unusual-day`, `canary`; `GET /signals` says what they mean |
//! | `blindbook_published_sequence`, `_members`, `_bytes` | what is published |
//! | `blindbook_rotation_phase` | 0 none; 1 members get rows in the new epoch; 2 the new epoch is served and results of the old one are carried over; 3 keys and rows of the old one are being destroyed |
//! | `blindbook_rotation_members` | members that have a row in the new epoch, in phase 1 |
//! | `blindbook_compute_queue_elements` | elements that wait or are worked on |

use std::{
    format,
    string::String,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
    vec::Vec,
};

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::RotationStatus;
use crate::{
    server::{
        detect::SignalKind,
        quota::{Admission, Usage},
    },
    store::Publication,
};

/// Times that are kept one by one, until they are counted in their bucket: nobody may ever ask for metrics.
const TIMES: usize = 1_024;
const SECONDS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The metrics of one service; several services in one process don't share them.
pub(super) struct Observer {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Times that were ever taken.
    times: AtomicUsize,
    charged: Counter,
    replayed: Counter,
    carried: Counter,
    rotation_phase: Gauge,
    rotation_members: Gauge,
    changes: Counter,
    signals: [(SignalKind, Counter); SignalKind::ALL.len()],
    choices: Counter,
    key_evaluations: Gauge,
    key_warning: Gauge,
    ledger_behind: Gauge,
    service: DayGauges,
    young: DayGauges,
    service_warning: Gauge,
    sequence: Gauge,
    members: Gauge,
    bytes: Gauge,
    queue: Gauge,
}

/// How far a day has come.
struct DayGauges {
    elements: Gauge,
    limit: Gauge,
}

impl DayGauges {
    fn new(recorder: &PrometheusRecorder, who: &'static str) -> Self {
        let gauge = |name| {
            let labels = Vec::from([Label::from_static_parts("who", who)]);
            recorder.register_gauge(&Key::from_parts(name, labels), &metadata())
        };
        Self {
            elements: gauge("blindbook_day_elements"),
            limit: gauge("blindbook_day_limit"),
        }
    }

    fn set(&self, usage: &Usage) {
        self.elements.set(usage.charged as f64);
        self.limit.set(usage.limit as f64);
    }
}

/// Metrics can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metrics can't be kept")]
pub struct ObserveError;

impl Observer {
    pub(super) fn new() -> Result<Self, ObserveError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full(String::from("blindbook_request_seconds")),
                &SECONDS,
            )
            .map_err(|_| ObserveError)?
            .build_recorder();
        let counter = |key: Key| recorder.register_counter(&key, &metadata());
        let gauge = |name| recorder.register_gauge(&Key::from_static_name(name), &metadata());
        let elements = |kind| {
            let labels = Vec::from([Label::from_static_parts("kind", kind)]);
            counter(Key::from_parts("blindbook_elements_total", labels))
        };
        Ok(Self {
            charged: elements("charged"),
            replayed: elements("replayed"),
            carried: elements("carried"),
            rotation_phase: gauge("blindbook_rotation_phase"),
            rotation_members: gauge("blindbook_rotation_members"),
            signals: SignalKind::ALL.map(|kind| {
                let labels = Vec::from([Label::from_static_parts("kind", kind.name())]);
                (
                    kind,
                    counter(Key::from_parts("blindbook_signals_total", labels)),
                )
            }),
            changes: counter(Key::from_static_name("blindbook_member_changes_total")),
            choices: counter(Key::from_static_name("blindbook_setting_changes_total")),
            key_evaluations: gauge("blindbook_key_evaluations"),
            key_warning: gauge("blindbook_key_warning"),
            ledger_behind: gauge("blindbook_ledger_behind_hours"),
            service: DayGauges::new(&recorder, "everybody"),
            young: DayGauges::new(&recorder, "new_accounts"),
            service_warning: gauge("blindbook_service_warning"),
            sequence: gauge("blindbook_published_sequence"),
            members: gauge("blindbook_published_members"),
            bytes: gauge("blindbook_published_bytes"),
            queue: gauge("blindbook_compute_queue_elements"),
            handle: recorder.handle(),
            times: AtomicUsize::new(0),
            recorder,
        })
    }

    /// `route` is the pattern of a route and never the path of a request.
    pub(super) fn answered(
        &self,
        route: &'static str,
        status: u16,
        problem: Option<&'static str>,
        took: Duration,
    ) {
        let route_label = Label::from_static_parts("route", route);
        let labels = Vec::from([
            route_label.clone(),
            Label::new("status", format!("{status}")),
        ]);
        let key = Key::from_parts("blindbook_requests_total", labels);
        self.recorder
            .register_counter(&key, &metadata())
            .increment(1);
        let key = Key::from_parts("blindbook_request_seconds", Vec::from([route_label]));
        self.recorder
            .register_histogram(&key, &metadata())
            .record(took.as_secs_f64());
        if self.times.fetch_add(1, Ordering::Relaxed) % TIMES == TIMES - 1 {
            self.handle.run_upkeep();
        }
        if let Some(problem) = problem {
            let labels = Vec::from([Label::from_static_parts("problem", problem)]);
            let key = Key::from_parts("blindbook_problems_total", labels);
            self.recorder
                .register_counter(&key, &metadata())
                .increment(1);
        }
    }

    pub(super) fn carried_over(&self, replayed: bool, elements: usize) {
        let counter = if replayed {
            &self.replayed
        } else {
            &self.carried
        };
        counter.increment(elements as u64);
    }

    pub(super) fn rotation(&self, status: &RotationStatus) {
        let phase = match status.phase.as_str() {
            "rekeying" => 1.0,
            "window" => 2.0,
            "ending" => 3.0,
            _ => 0.0,
        };
        self.rotation_phase.set(phase);
        self.rekeyed(status.rekeyed.unwrap_or(0));
    }

    pub(super) fn rekeyed(&self, members: u64) {
        self.rotation_members.set(members as f64);
    }

    /// `current` tells whether it was the key of the epoch that is published.
    pub(super) fn admitted(&self, admission: &Admission, elements: usize, current: bool) {
        let counter = if admission.receipt.replayed {
            &self.replayed
        } else {
            &self.charged
        };
        counter.increment(elements as u64);
        if current {
            self.key_evaluations
                .set(admission.receipt.key_evaluations as f64);
            self.key_warning
                .set(f64::from(u8::from(admission.key_warning)));
        }
        if let Some(usage) = &admission.receipt.service {
            self.service.set(usage);
            self.service_warning
                .set(f64::from(u8::from(admission.service_warning)));
        }
        if let Some(usage) = &admission.receipt.young {
            self.young.set(usage);
        }
    }

    pub(super) fn signalled(&self, kind: SignalKind) {
        for (of, counter) in &self.signals {
            if *of == kind {
                counter.increment(1);
            }
        }
    }

    /// How many hours lie between now and the oldest one that isn't sealed.
    pub(super) fn sealed(&self, behind: u32) {
        self.ledger_behind.set(f64::from(behind));
    }

    pub(super) fn changed(&self, members: usize) {
        self.changes.increment(members as u64);
    }

    pub(super) fn chosen(&self, identifiers: u32) {
        self.choices.increment(identifiers.into());
    }

    pub(super) fn published(&self, publication: &Publication) {
        let claims = publication.manifest.claims();
        self.sequence.set(claims.sequence as f64);
        self.members.set(claims.members() as f64);
        self.bytes.set(publication.manifest.base().size as f64);
    }

    pub(super) fn render(&self, queued: usize) -> String {
        self.queue.set(queued as f64);
        self.handle.run_upkeep();
        self.handle.render()
    }
}

fn metadata() -> Metadata<'static> {
    Metadata::new("blindbook", Level::INFO, None)
}
