//! The name that somebody probably meant.

/// How many characters to insert, delete or replace (Levenshtein).
pub(crate) fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index.saturating_add(1));
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal.saturating_add(usize::from(a != b));
            let right = column.saturating_add(1);
            diagonal = row[right];
            row[right] =
                replaced.min(diagonal.saturating_add(1)).min(row[column].saturating_add(1));
        }
    }
    row[to.len()]
}

/// The one of `names` that `name` is a spelling of: in another case, with other separators, or with
/// a few other characters.
pub(crate) fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let meant: Vec<char> = plain(name).chars().take(CHARS_MAX).collect();
    let distances = names.map(|known| (distance(&meant, &plain(known)), known));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= meant.len() / 3).then_some(nearest)
}

/// Longer than every name.
const CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn a_name_is_recognised_in_another_spelling_and_no_other_name_is() {
        let names = ["out_trade_no", "refund_fee", "total_fee", "isPC", "needQRcode"];
        for (written, meant) in [
            ("refundFee", Some("refund_fee")),
            ("refund-fee", Some("refund_fee")),
            ("outTradeNo", Some("out_trade_no")),
            ("out_trade_num", Some("out_trade_no")),
            ("total_fees", Some("total_fee")),
            ("ispc", Some("isPC")),
            ("needQrCode", Some("needQRcode")),
            ("coupon", None),
            ("x", None),
            ("", None),
            ("支付", None),
        ] {
            assert_eq!(similar(written, names.into_iter()), meant, "{written}");
        }
    }
}
