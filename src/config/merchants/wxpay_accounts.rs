//! The accounts at WeChat Pay of all merchants together. Nodes of one account hold its keys
//! together: while a merchant changes from platform certificates to WeChat Pay's public key, its
//! nodes have either, and WeChat Pay signs with either (WeChat Pay V3, "switch to the public key").

use std::sync::Arc;

use super::pay_type_node::MERCHANTS;
use crate::config::reader::Reader;
use crate::config::settings::MerchantConfig;
use crate::domain::channel::PayType;
use crate::domain::ids::Pid;
use crate::provider::wxpay::{AccountConflict, WxpayAccount, WxpayVerification};

/// An account at the place where it was read.
struct PlacedAccount<'a> {
    pid: &'a Pid,
    pay_type: PayType,
    account: &'a Arc<WxpayAccount>,
}

impl PlacedAccount<'_> {
    /// The node, as problems name it.
    fn place(&self) -> String {
        let (pid, node) = (self.pid, self.pay_type.name().replacen('_', ".", 1));
        match pid.as_str() {
            Pid::DEFAULT => "PAYGATE_WXPAY_MCH_ID".to_owned(),
            _ => format!("pid {pid}, {node}"),
        }
    }

    /// The field in which this node contradicts an earlier one. Two merchants may sign for one
    /// account with a certificate each; what WeChat Pay has once is the same at both.
    fn contradicted_field(&self, earlier: &PlacedAccount<'_>) -> Option<&'static str> {
        let is_one_merchant = self.pid == earlier.pid;
        let conflicts = earlier.account.conflicts(self.account).into_iter();
        let mut fields = conflicts.filter_map(|conflict| match conflict {
            AccountConflict::ApiV3Key => Some("v3Key"),
            AccountConflict::PublicKey => Some("wxpayPublicKeyContent"),
            AccountConflict::SerialNo => is_one_merchant.then_some("appCertContent"),
            AccountConflict::PrivateKey => is_one_merchant.then_some("appPrivateKeyContent"),
            AccountConflict::PublicKeyId => is_one_merchant.then_some("wxpayPublicKeyId"),
            AccountConflict::Address => is_one_merchant.then_some("mchId"),
        });
        fields.next()
    }
}

/// Reports every node that contradicts an earlier one of the same account, and lets the others
/// share their keys.
pub(in crate::config) fn hold_together(reader: &mut Reader<'_>, merchants: &mut [MerchantConfig]) {
    report_contradictions(reader, merchants);
    share_accounts(merchants);
}

fn report_contradictions(reader: &mut Reader<'_>, merchants: &[MerchantConfig]) {
    let mut earlier: Vec<PlacedAccount<'_>> = Vec::new();
    for merchant in merchants {
        for (pay_type, app) in merchant.wxpay.iter().flat_map(|wxpay| &wxpay.apps) {
            let (pay_type, account) = (*pay_type, &app.account);
            let own = PlacedAccount { pid: &merchant.pid, pay_type, account };
            let contradicted = |earlier: &PlacedAccount<'_>| {
                Some((own.contradicted_field(earlier)?, earlier.place()))
            };
            if let Some((field, other)) = earlier.iter().find_map(contradicted) {
                let (place, mch_id) = (own.place(), &account.mch_id);
                let reason = format!(
                    "{place}.{field}: is another one than that of {other}, and both are of the \
                     account {mch_id}: set the one that WeChat Pay has now in both"
                );
                reader.report(MERCHANTS, reason);
            }
            earlier.push(own);
        }
    }
}

/// Gives each account that has platform certificates the public key of another node, too, and
/// makes equal accounts one.
fn share_accounts(merchants: &mut [MerchantConfig]) {
    let wxpays = merchants.iter().filter_map(|merchant| merchant.wxpay.as_ref());
    let accounts = wxpays.flat_map(|wxpay| wxpay.apps.values()).map(|app| &app.account);
    let keyed: Vec<_> = accounts.filter(|account| has_public_key(account)).cloned().collect();
    let mut shared: Vec<Arc<WxpayAccount>> = Vec::new();
    let wxpays = merchants.iter_mut().filter_map(|merchant| merchant.wxpay.as_mut());
    for app in wxpays.flat_map(|wxpay| wxpay.apps.values_mut()) {
        let own = &app.account;
        let is_keyed = |keyed: &&Arc<WxpayAccount>| {
            keyed.mch_id == own.mch_id && keyed.base_url == own.base_url
        };
        if !has_public_key(own)
            && let Some(keyed) = keyed.iter().find(is_keyed)
        {
            let verification = keyed.verification.clone();
            app.account = Arc::new(WxpayAccount { verification, ..WxpayAccount::clone(own) });
        }
        match shared.iter().find(|shared| shared.is_same(&app.account)) {
            Some(shared) => app.account = shared.clone(),
            None => shared.push(app.account.clone()),
        }
    }
}

fn has_public_key(account: &WxpayAccount) -> bool {
    matches!(account.verification, WxpayVerification::PublicKey { .. })
}
