//! `finaira demo`.

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
