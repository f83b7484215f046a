//! What the engine traces of its decisions: the transitions that it commits, and the verdicts on
//! requests.

use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The trace of a world's processes, which all run on its thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Arc<Mutex<Traced>>);

#[derive(Debug, Default)]
struct Traced {
    /// The transition that is committed next.
    transition: Option<String>,
    verdicts: Vec<String>,
}

impl Trace {
    /// The transition whose commit has just begun.
    pub(super) fn transition(&self) -> String {
        let transition = self.0.lock().unwrap().transition.take();
        transition.expect("the engine traces each commit")
    }

    /// The verdicts on requests since the last look.
    pub(super) fn verdicts(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().verdicts)
    }
}

impl Subscriber for Trace {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let names = ["transition", "verdict"];
        metadata.target().starts_with("paygate::engine")
            && names.iter().any(|name| metadata.fields().field(name).is_some())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut Traced);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "transition" => self.0.transition = Some(value.to_owned()),
            "verdict" => self.0.verdicts.push(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
