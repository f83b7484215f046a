//! The records of an order, filled in. A test changes what it is about by
//! `OrderTerms { custom, ..order_terms(number, "tea") }`.

use paygate::domain::{
    Attempt, AttemptState, ChannelNo, Fen, Millis, OrderTerms, OutTradeNo, Params, Payment,
    PaymentMethod, PaymentRole, Pid, TransactionId,
};

/// The terms of an order for 1 fen.
pub(crate) fn order_terms(out_trade_no: &str, subject: &str) -> OrderTerms {
    OrderTerms {
        out_trade_no: OutTradeNo::parse(out_trade_no).unwrap(),
        total_fee: Fen::new(1).unwrap(),
        subject: subject.to_owned(),
        body: None,
        kind: "goods".to_owned(),
        pid: Pid::default(),
        user_id: None,
        custom: None,
        other: None,
        sub_appid: None,
        sub_mchid: None,
        app_auth_token: None,
        profit_sharing: None,
    }
}

/// The first attempt of an order, prepared at `opened_at` for half an hour, at no account.
pub(crate) fn prepared_attempt(
    channel_no: ChannelNo,
    method: PaymentMethod,
    params: Params,
    opened_at: Millis,
) -> Attempt {
    Attempt {
        n: 1,
        method,
        account: None,
        channel_no,
        params,
        expires_at: opened_at.plus(1_800_000),
        opened_at,
        state: AttemptState::Prepared,
        last_queried_at: None,
        superseded: false,
        handed_out: false,
        close_intended: false,
    }
}

/// The payment of `total_fee` fen that pays its order, by the first attempt, made and known at
/// `paid_at`.
pub(crate) fn payment(transaction_id: &str, total_fee: u64, paid_at: Millis) -> Payment {
    Payment {
        attempt: 1,
        transaction_id: TransactionId(transaction_id.into()),
        total_fee: Fen::new(total_fee).unwrap(),
        paid_at,
        openid: None,
        discovered_at: paid_at,
        role: PaymentRole::Winning,
        auto_refund: false,
        refund_unknown: false,
        reported_refund_total: None,
        unidentified_since: None,
        refunds: Vec::new(),
    }
}
