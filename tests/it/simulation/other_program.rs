//! Another program of the same merchant, which orders under a number of the shop's: the system
//! that the shop had before, or one that was restored from a copy.

use std::sync::Arc;

use tokio::time::sleep;

use super::buyers::{self, Case};
use super::process::Process;
use super::rng::Rng;
use super::shared::Shared;

/// Orders under the case's number, and its buyer may pay.
pub(super) async fn order_under_the_same_number(shared: Arc<Shared>, at: usize, rng: Rng) {
    let case: &Case = &shared.cases[at];
    sleep(rng.pause()).await;
    let engine = Process::start_other(&shared).await;
    let method = case.some_way(&rng);
    let fee = if rng.percent(20) { case.fee + 7 } else { case.fee };
    let Ok(created) = buyers::create(&engine, &case.body(&method, fee), &method).await else {
        return shared.log(format!("{}: the other program gets nothing", case.no));
    };
    shared.log(format!("{}: the other program orders by {:?}", case.no, created.product));
    let item = buyers::item(&shared, method.provider, &created);
    let (Some(item), true) = (item, rng.percent(60)) else { return };
    sleep(rng.pause()).await;
    buyers::pay(&shared, &item);
}
