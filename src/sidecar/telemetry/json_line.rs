//! A line of the log as one flat JSON object, in which no key stands twice.

use std::fmt;

use serde_json::Map;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::LogFields;

/// Writes an event's fields, then those of the spans around it that it has not itself, the
/// innermost span's first: a line about an order names its order, and the request that led to it.
pub(super) struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut line = LogFields::default();
        line.add("timestamp", timestamp.into());
        line.add("level", metadata.level().as_str().into());
        line.add("target", metadata.target().into());
        event.record(&mut line);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|fields| serde_json::from_str::<Map<_, _>>(fields).ok());
            for (key, value) in fields.into_iter().flatten() {
                line.add(&key, value);
            }
        }
        writeln!(writer, "{}", line.to_json())
    }
}
