//! The cashier: pages on which a person plays the buyer, and sees who notified whom.
//!
//! `/` lists the orders, `/pay` shows one: `?with=` a payment code, or what a merchant gave to the
//! buyer, or `?provider=`, `?merchant=` and `?number=`. The links that the providers give to a
//! buyer lead there.

pub(super) mod order;
pub(super) mod order_list;
mod pasted_text;
pub(super) mod qr_code;
mod view;

use http::{Method, Uri};

use super::page::{BrowserPage, ORDER_PAGE};
use super::world::numbers;

/// The page, or a file of it, that `uri` names.
pub(super) fn page(method: &Method, uri: &Uri) -> Option<BrowserPage> {
    if *method != Method::GET {
        return None;
    }
    match uri.path() {
        "/" | ORDER_PAGE => Some(BrowserPage::Cashier(include_str!("cashier.html"))),
        "/cashier.css" => Some(BrowserPage::Style(include_str!("cashier.css"))),
        "/cashier.svg" => Some(BrowserPage::Svg(include_str!("cashier.svg").to_owned())),
        "/cashier.js" => Some(BrowserPage::Script(include_str!("cashier.js"))),
        path if path == numbers::H5_PATH || path.starts_with(numbers::QR_CODE_PATH) => {
            Some(BrowserPage::Order(uri.path_and_query()?.to_string()))
        }
        _ => None,
    }
}
