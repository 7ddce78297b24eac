//! finaira
fn main() {}
