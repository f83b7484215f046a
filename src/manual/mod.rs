//! The manual: how a shop uses paygate, and how paygate works.
//!
//! `paygate help` lists the same chapters, and `paygate help errors` prints one.

/// Every chapter, in reading order: first the English ones.
#[doc(hidden)]
pub fn chapters() -> impl Iterator<Item = &'static Chapter> + Clone {
    CHAPTERS.iter().chain(zh::CHAPTERS)
}

/// A chapter of the manual.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its name: `errors`, `zh/errors`.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// Its Markdown.
    pub text: &'static str,
}

/// Makes a module of each chapter's text, and the list of the chapters.
///
/// A chapter links to another by a reference, `[text][errors]`, and ends with the definition
/// `[errors]: errors.md`, which counts on GitHub. Here another definition stands before it, and in
/// Markdown the first one counts.
macro_rules! chapters {
    (
        $folder:literal, $links:literal,
        $($module:ident $name:literal $about:literal)*
    ) => {
        $(
            #[doc = $links]
            #[doc = include_str!(concat!($name, ".md"))]
            pub mod $module {}
        )*

        /// These chapters, in reading order.
        pub(super) const CHAPTERS: &[$crate::manual::Chapter] = &[$(
            $crate::manual::Chapter {
                name: concat!($folder, $name),
                about: $about,
                text: include_str!(concat!($name, ".md")),
            },
        )*];
    };
}

pub mod zh;

chapters! {
    "", "
[concepts]: crate::manual::_01_concepts
[create_payment]: crate::manual::_02_create_payment
[client]: crate::manual::_03_client
[same_number]: crate::manual::_04_same_number
[query_payment]: crate::manual::_05_query_payment
[errors]: crate::manual::_06_errors
[pricing]: crate::manual::_07_pricing
[notifications]: crate::manual::_08_notifications
[events]: crate::manual::_09_events
[admin]: crate::manual::_10_admin
[simulated_providers]: crate::manual::_11_simulated_providers
[going_live]: crate::manual::_12_going_live
[operations]: crate::manual::_13_operations
[log]: crate::manual::_14_log
[configuration]: crate::manual::_15_configuration
[layer_and_library]: crate::manual::_16_layer_and_library
[from_vk_uni_pay]: crate::manual::_17_from_vk_uni_pay
[architecture]: crate::manual::_18_architecture
[testing]: crate::manual::_19_testing
",
    _01_concepts "concepts"
        "order, attempt, payment, material, event; a glossary, also in Chinese"
    _02_create_payment "create_payment"
        "the request and its answer: parameters, pay types"
    _03_client "client"
        "what the client does with the answer, on each platform"
    _04_same_number "same_number"
        "the same order number again: a replay, a conflict, another way to pay"
    _05_query_payment "query_payment"
        "where an order stands"
    _06_errors "errors"
        "every code, its HTTP status, and what it means for the money"
    _07_pricing "pricing"
        "who sets the price: a token, a signed quote, a callback"
    _08_notifications "notifications"
        "what the providers send to paygate"
    _09_events "events"
        "what paygate sends to the shop: webhook, signature, handlers"
    _10_admin "admin"
        "refund, close, query, events, unmatched payments"
    _11_simulated_providers "simulated_providers"
        "no account needed: the cashier page, control operations, faults"
    _12_going_live "going_live"
        "what must be there before real money"
    _13_operations "operations"
        "the runbook: one heading for each symptom"
    _14_log "log"
        "every line of the log, its fields, and where the runbook has it"
    _15_configuration "configuration"
        "every variable"
    _16_layer_and_library "layer_and_library"
        "paygate in a Rust app: the layer, the engine, its tests"
    _17_from_vk_uni_pay "from_vk_uni_pay"
        "for projects that use vk-uni-pay"
    _18_architecture "architecture"
        "the life of a payment through the files, and the invariants"
    _19_testing "testing"
        "how paygate is tested, and how to run the tests"
}
