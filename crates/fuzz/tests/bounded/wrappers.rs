//! Checks that the wrappers for cargo-fuzz, which CI does not build, match the targets.

use std::path::Path;

#[test]
fn every_target_has_its_wrapper() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("the manifest can be read");
    let listed: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let expected: Vec<String> = fuzz::TARGETS.iter().map(|target| format!("{}.rs\"", target.name)).collect();
    assert_eq!(listed, expected, "fuzz/Cargo.toml lists the targets in order");
    for target in fuzz::TARGETS {
        let wrapper = std::fs::read_to_string(folder.join(format!("fuzz_targets/{}.rs", target.name)));
        let call = format!("fuzz::target(\"{}\")", target.name);
        assert!(wrapper.expect("the wrapper can be read").contains(&call), "the wrapper of {} calls it", target.name);
    }
}
