//! The ports of a server, which stay the same while its data is kept.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

use super::Folders;

/// Below the ports that the system gives to clients, so that no client takes one while its server is down.
const CHOICE: std::ops::Range<u16> = 20_000..32_000;

/// Ports that were free a moment ago, or those of the run whose data is kept. If another process takes one first, the server
/// ends and says so.
pub(super) fn ports<const COUNT: usize>(folders: &Folders) -> Result<[u16; COUNT]> {
    let file = folders.run.join("ports.json");
    match fs::read(&file) {
        Ok(text) => {
            let ports: Vec<u16> = serde_json::from_slice(&text).context("ports.json is not a list of ports")?;
            ports
                .try_into()
                .ok()
                .context("ports.json has other ports than this server takes; start it without `--keep`")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let ports = free()?;
            let text = serde_json::to_vec(ports.as_slice()).context("cannot write ports as JSON")?;
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(ports)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn free<const COUNT: usize>() -> Result<[u16; COUNT]> {
    // From a random one on, so that servers which start at the same time hardly ever choose the same.
    let random = RandomState::new().build_hasher().finish();
    let start = u16::try_from(random % u64::from(CHOICE.end - CHOICE.start)).unwrap_or_default();
    let mut taken = Vec::with_capacity(COUNT);
    for port in (CHOICE.start + start..CHOICE.end).chain(CHOICE) {
        if taken.len() == COUNT {
            break;
        }
        // Held until all are found, so that they differ.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            taken.push((port, listener));
        }
    }
    let ports: Vec<u16> = taken.iter().map(|(port, _)| *port).collect();
    let Ok(ports) = ports.try_into() else { bail!("cannot find {COUNT} free ports from {CHOICE:?}") };
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_the_same_while_the_data_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folders =
            Folders { source: folder.path().into(), home: folder.path().into(), run: folder.path().to_owned() };
        let first: [u16; 3] = ports(&folders).unwrap();
        assert!(first.iter().all(|port| CHOICE.contains(port)), "{first:?}");
        assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{first:?}");
        assert_eq!(ports::<3>(&folders).unwrap(), first);
        assert!(ports::<2>(&folders).unwrap_err().to_string().contains("without `--keep`"));
    }

    #[test]
    fn a_port_that_is_taken_is_not_chosen() {
        let held: [u16; 1] = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, held[0])).unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, held[0])).is_err());
        let others: [u16; 100] = free().unwrap();
        assert!(!others.contains(&held[0]));
    }
}
