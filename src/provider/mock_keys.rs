//! The simulated providers' keys, which anybody can read in the source: no live merchant has
//! them.

/// SHA-256 of the SubjectPublicKeyInfo of every key under `src/mock/keys`, in lower-case hex.
///
/// They stand here, and not in the mock, because every build refuses them for live merchants. When
/// the keys change, the test below prints the new list.
const FINGERPRINTS: &[&str] = &[
    "37c07ce747e1ea5ad7162bf7985ece836502d2925eedf50d1e2a7a6cce2cb886",
    "3e5bc980cfb60e656e8ff967b0d8299c8050670138930066c9a90ec663ebc1e7",
    "7508043d0492eb003137249bb9c9314d359af9c24ef703e3e288fc742ca608de",
    "b03424c14089247ceb6cd6da19a82c03129f3d41d2f22b8cedf849a2f35b7572",
    "c27427dfc73b0be8d5b94022137154a615c2c0d4fd4d2860258b01e57e93042c",
];

/// The mock's APIv3 key.
#[cfg(feature = "wxpay")]
pub(crate) const MOCK_API_V3_KEY: &str = "paygate-mock-api-v3-key-of-32-by";

/// Whether this is the fingerprint of one of the mock's keys.
pub(crate) fn is_mock_key(fingerprint: [u8; 32]) -> bool {
    let hex: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    FINGERPRINTS.contains(&hex.as_str())
}

#[cfg(all(test, feature = "mock"))]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::provider::keys::{SigningKey, VerifyingKey};

    #[test]
    fn the_mocks_api_v3_key_is_known() {
        assert_eq!(MOCK_API_V3_KEY, crate::mock::keys::API_V3_KEY);
    }

    #[test]
    fn every_key_of_the_mock_is_known_by_its_fingerprint() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mock/keys");
        let files = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
        let keys = files.map(|path| std::fs::read(path).unwrap());
        let fingerprints = keys.filter_map(|key| {
            let public = || VerifyingKey::parse(&key).map(|key| key.fingerprint());
            SigningKey::parse(&key).map(|key| key.fingerprint()).or_else(|_| public()).ok()
        });
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let wanted: BTreeSet<String> = fingerprints.map(hex).collect();
        let listed: BTreeSet<String> = FINGERPRINTS.iter().map(|hex| (*hex).to_owned()).collect();
        assert_eq!(listed, wanted, "FINGERPRINTS is not what src/mock/keys holds");
    }
}
