//! The policy of the demo: `policies/retail`, embedded in the binary.

const DOCUMENT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/retail/policy.toml"));
const MODEL: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/retail/models/fraud.onnx"));

/// Returns the folder as a tar archive.
pub(super) fn archive() -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [("policy.toml", DOCUMENT), ("models/fraud.onnx", MODEL)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes)?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use policy::{Bundle, Policy};

    use super::*;
    use crate::demo::simulator::BURST_LIMIT;

    fn compiled() -> Policy {
        let files = [("policy.toml", DOCUMENT), ("models/fraud.onnx", MODEL)];
        let bundle = Bundle::new(files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))).unwrap();
        Policy::compile(&bundle).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn the_retail_policy_is_valid() {
        assert_eq!(compiled().name().as_str(), "retail");
    }

    #[test]
    fn the_burst_tests_the_limit_of_the_policy() {
        let policy = compiled();
        let rule = policy.rules().iter().find(|rule| rule.name.as_str() == "customer_rate").unwrap();
        assert_eq!(rule.when, format!("features.accepted_1m > {BURST_LIMIT}"));
    }
}
