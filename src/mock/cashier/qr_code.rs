//! The picture of an order's QR code.

use fast_qr::QRBuilder;
use percent_encoding::percent_decode_str;

use crate::domain::channel::ProviderId;
use crate::domain::product::Product;
use crate::mock::world::World;
use crate::mock::world::order::SimulatedOrder;

/// The last QR code of the order `provider/number`, as a picture.
pub(in crate::mock) fn picture(world: &World, order: &str) -> Option<String> {
    let (provider, number) = order.split_once('/')?;
    let number = percent_decode_str(number).decode_utf8().ok()?;
    let order = world.find_by_number(ProviderId::parse(provider)?, &number)?;
    svg(code(&order)?)
}

/// The text of the last QR code of `order`.
pub(super) fn code(order: &SimulatedOrder) -> Option<&str> {
    let is_code = matches!(order.terms.product, Product::Native | Product::Precreate);
    order.payment_codes.last().filter(|_| is_code).map(|code| code.code.as_str())
}

/// Black on white, with the 4 modules of quiet zone that ISO/IEC 18004 demands.
fn svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).build().ok()?;
    let side = code.size + 8;
    let mut path = String::new();
    for y in 0..code.size {
        for x in (0..code.size).filter(|x| code[y][*x].value()) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + 4, y + 4));
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{path}\"/></svg>\n"
    ))
}
