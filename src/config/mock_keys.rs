//! The simulated providers' keys, which anybody can read in the source: live mode refuses them.

/// SHA-256 of the SubjectPublicKeyInfo of every key under `src/mock/keys`, in lower-case hex.
///
/// They stand here, and not in the mock, because live mode refuses them in every build. The test
/// below prints what belongs here when the keys change.
const FINGERPRINTS: &[&str] = &[];

/// Whether this is the fingerprint of one of the mock's keys.
pub(super) fn is_mock_key(fingerprint: [u8; 32]) -> bool {
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
    fn every_key_of_the_mock_is_known_by_its_fingerprint() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mock/keys");
        let files = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
        let keys = files.map(|path| std::fs::read(path).unwrap());
        let fingerprints = keys.filter_map(|key| {
            let public = || VerifyingKey::parse(&key).map(|it| it.fingerprint());
            SigningKey::parse(&key).map(|it| it.fingerprint()).or_else(|_| public()).ok()
        });
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let wanted: BTreeSet<String> = fingerprints.map(hex).collect();
        let listed: BTreeSet<String> = FINGERPRINTS.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(listed, wanted, "FINGERPRINTS is not what src/mock/keys holds");
    }
}
