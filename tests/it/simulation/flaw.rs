//! What is broken on purpose, in the store, on the wire, at a provider or at the shop, to see that
//! the invariants notice it. Each is named after what it does wrong.

/// The faults, and the list of all of them.
macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Something that is broken on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Flaw {
            $($(#[$doc])* $name,)*
        }

        impl Flaw {
            /// Every one of them.
            pub(super) const ALL: &[Flaw] = &[$(Flaw::$name),*];

            /// The one of this name.
            pub(super) fn named(name: &str) -> Flaw {
                let found = Flaw::ALL.iter().find(|it| format!("{it:?}") == name);
                *found.unwrap_or_else(|| panic!("FLAW must be one of {:?}", Flaw::ALL))
            }
        }
    };
}

flaws! {
    /// The store reports a commit as durable, and sometimes did not write it.
    CommitsAreLost,
    /// The store does not compare versions: the last writer wins.
    CommitsOverwriteOthers,
    /// The store gives out what an order was before its last commit.
    ReadsAreStale,
    /// The store keeps the order of a commit, and not its events.
    CommitsLoseTheirEvents,
    /// The store adds each event of a commit twice, under two ids.
    CommitsDoubleTheirEvents,
    /// The store reports the delivery of an event as durable, and does not write it.
    DeliveriesAreForgotten,
    /// The background never looks after anything.
    NobodyReconciles,
    /// The shop's clock stands still after two minutes.
    TheClockStops,
    /// The wire swallows closes of WeChat Pay orders, and answers that they are closed.
    WxpayClosesAreSwallowed,
    /// Closes of Alipay trades are not sent, and count as done.
    AlipayClosesAreNotSent,
    /// An order is opened a second time, under another number, whose material the buyer gets.
    OrdersOpenUnderASecondNumber,
    /// A query answers what it answered about the number before.
    QueriesAnswerFromMemory,
    /// Every payment counts as one of the order's amount.
    AnyAmountFits,
    /// Every payment counts as one in yuan.
    AnyCurrencyFits,
    /// Each refund is sent once more, under another number.
    RefundsAreSentUnderASecondNumber,
    /// Part of a payment is requested, and all of it is refunded.
    RefundsReturnEverything,
    /// A refund that the provider refuses counts as done.
    RefusedRefundsCountAsDone,
    /// Each notification of a refund counts as one of another refund.
    RefundNotificationsCountTwice,
    /// Notifications of refunds are acknowledged, and nobody reads them.
    RefundNotificationsAreDropped,
    /// An event counts as accepted, and the shop never got it.
    EventsAreDropped,
    /// Events say that a fen more was paid than was.
    EventsNameAnotherAmount,
    /// Whoever asks again gets the first answer again.
    AnswersAreKeptForEver,
}
