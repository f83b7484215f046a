//! An alert as text, and as the body that its receiver takes.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::pending::{Alert, AlertLine};
use crate::config::AlertFormat;

/// The most bytes of a text. WeCom takes 2048 (企业微信, 群机器人配置说明, 文本类型).
const TEXT_BYTES_MAX: usize = 2000;

/// The most bytes of one field's value in a text.
const VALUE_BYTES_MAX: usize = 300;

/// The text of an alert that `origin` sends: what happened, to which orders, and where to read on.
pub(super) fn text(alert: &Alert, origin: &str) -> String {
    let mut text = format!("[paygate] {}", alert.text);
    if alert.count > 1 {
        text += &format!(" ({} times)", alert.count);
    }
    let end = format!("\n{origin}\nWhat to do: find these words in `paygate help operations`.");
    let mut shown = 0_u64;
    for line in &alert.lines {
        let line = line_text(line);
        let left = TEXT_BYTES_MAX.saturating_sub(text.len().saturating_add(end.len()));
        if line.len().saturating_add(AND_MORE.len()) > left {
            break;
        }
        text += &line;
        shown = shown.saturating_add(1);
    }
    if shown < alert.count {
        text += AND_MORE;
    }
    text + &end
}

const AND_MORE: &str = "\nand more: the log has every line";

/// Time and fields of a line, on lines of their own.
fn line_text(line: &AlertLine) -> String {
    let mut text = format!("\n{}", line.at.to_rfc3339());
    for (name, value) in line.fields.iter() {
        let value = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        text += &format!(" {name}={}", plain(&value));
    }
    text
}

/// A value on one line, short, and without what a receiver takes for markup: WeCom's `<@userid>`
/// and Feishu's `<at user_id="all">` call people.
fn plain(value: &str) -> String {
    let mut plain = String::new();
    for c in value.chars() {
        if plain.len() >= VALUE_BYTES_MAX {
            plain.push('…');
            break;
        }
        plain.push(match c {
            '<' => '‹',
            '>' => '›',
            c if c.is_control() => ' ',
            c => c,
        });
    }
    plain
}

/// The body for a receiver that takes `format`.
pub(super) fn body(format: AlertFormat, alert: &Alert, origin: &str) -> Map<String, Value> {
    let text = text(alert, origin);
    let body = match format {
        AlertFormat::Wecom | AlertFormat::Dingtalk => {
            json!({"msgtype": "text", "text": {"content": text}})
        }
        AlertFormat::Feishu => json!({"msg_type": "text", "content": {"text": text}}),
        AlertFormat::Json => json!({
            "text": text,
            "source": "paygate",
            "origin": origin,
            "message": alert.text,
            "count": alert.count,
            "lines": alert.lines.iter().map(line_json).collect::<Vec<_>>(),
        }),
    };
    match body {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn line_json(line: &AlertLine) -> Value {
    let time = ("timestamp".to_owned(), line.at.to_rfc3339().into());
    let fields = line.fields.iter().map(|(name, value)| (name.to_owned(), value.clone()));
    Value::Object([time].into_iter().chain(fields).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Millis;
    use crate::sidecar::telemetry::fields::LogFields;

    fn alert(count: u64, values: &[&str]) -> Alert {
        let lines = values.iter().map(|value| {
            let mut fields = LogFields::default();
            fields.add("out_trade_no", (*value).into());
            fields.add("paid_fee", 100.into());
            AlertLine { at: Millis(1_700_000_000_000), fields }
        });
        let text = "a buyer paid another amount than the order's".to_owned();
        Alert { text, count, lines: lines.collect() }
    }

    #[test]
    fn a_text_has_what_happened_to_which_order_where_and_what_to_do() {
        assert_eq!(
            text(&alert(1, &["2107151010101541001"]), "https://shop.example.com/pay (live)"),
            "[paygate] a buyer paid another amount than the order's\n\
             2023-11-14T22:13:20.000Z out_trade_no=2107151010101541001 paid_fee=100\n\
             https://shop.example.com/pay (live)\n\
             What to do: find these words in `paygate help operations`."
        );
        let many = text(&alert(37, &["o-1", "o-2"]), "x");
        assert!(many.starts_with("[paygate] a buyer paid another amount than the order's (37 "));
        assert!(many.contains("o-1") && many.contains("o-2") && many.contains(AND_MORE), "{many}");
    }

    #[test]
    fn a_text_stays_under_what_robots_take_and_calls_nobody() {
        let long = "单".repeat(500);
        for value in [long.as_str(), "<at user_id=\"all\">\n</at><@all>\u{1b}[2J"] {
            let text = text(&alert(10, &[value; 10]), "https://shop.example.com/pay (live)");
            assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
            assert!(!text.contains(['<', '>', '\u{1b}']), "{text}");
            assert!(text.ends_with("operations`."), "{text}");
        }
    }

    #[test]
    fn each_receiver_gets_the_body_that_it_takes() {
        let alert = alert(1, &["o-1"]);
        let body_of = |format| Value::Object(body(format, &alert, "x"));
        let text = text(&alert, "x");
        let wecom = json!({"msgtype": "text", "text": {"content": text}});
        assert_eq!(body_of(AlertFormat::Wecom), wecom);
        assert_eq!(body_of(AlertFormat::Dingtalk), wecom);
        let feishu = json!({"msg_type": "text", "content": {"text": text}});
        assert_eq!(body_of(AlertFormat::Feishu), feishu);
        let plain = json!({
            "text": text,
            "source": "paygate",
            "origin": "x",
            "message": "a buyer paid another amount than the order's",
            "count": 1,
            "lines": [{
                "timestamp": "2023-11-14T22:13:20.000Z", "out_trade_no": "o-1", "paid_fee": 100
            }],
        });
        assert_eq!(body_of(AlertFormat::Json), plain);
    }
}
