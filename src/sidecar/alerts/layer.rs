//! Takes the ERROR lines of paygate's own log, with the fields of the spans around them.

use std::sync::Arc;

use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::waiting::WaitingAlerts;
use crate::sidecar::telemetry::OtherLogs;
use crate::sidecar::telemetry::fields::LogFields;

/// The layer that adds lines to `waiting`, whatever `PAYGATE_LOG` lets pass.
pub(super) fn alerting(waiting: Arc<WaitingAlerts>) -> OtherLogs {
    let ours = Targets::new().with_target("paygate", LevelFilter::ERROR);
    Box::new(AlertLayer(waiting).with_filter(ours))
}

struct AlertLayer(Arc<WaitingAlerts>);

/// The fields of a span, in its extensions.
struct SpanFields(LogFields);

impl<S> Layer<S> for AlertLayer
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = LogFields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = LogFields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                of_span.iter().for_each(|(name, value)| fields.add(name, value.clone()));
            }
        }
        let text = fields.remove("message");
        let text = text.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        self.0.add(text, fields);
    }
}
