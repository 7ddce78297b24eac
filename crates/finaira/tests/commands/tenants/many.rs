//! 256 tenants in one process.

use std::time::{Duration, Instant};

use super::{Tenant, create, live};
use crate::harness::{Server, eventually_within, first_start};

/// Threads and resident memory of a process, in KiB.
fn usage(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    (of("Threads:"), of("VmRSS:"))
}

/// Processor time that a process used, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

#[expect(clippy::disallowed_methods, reason = "measures processor time")]
#[test]
fn idle_tenants_cost_next_to_nothing() {
    // CI takes fewer.
    let count = std::env::var("FINAIRA_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(24_u32);
    let (data, server, first) = first_start(&["--tenant-idle", "1s"]);
    let before = usage(server.pid());
    let start = Instant::now();
    let tenants: Vec<Tenant> = (0..count).map(|number| create(&first, &live(&format!("T{number}")))).collect();
    let created = start.elapsed();
    let open = || first.get("/metrics").body.as_str().and_then(open_tenants);
    eventually_within(Duration::from_secs(60), || (open() == Some(1)).then_some(()));
    // The runtime keeps idle threads for ten seconds.
    let is_quiet = || Some(usage(server.pid())).filter(|(threads, _)| *threads <= before.0 + 2);
    let after = eventually_within(Duration::from_secs(40), is_quiet);
    let (idle, since) = (ticks(server.pid()), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let idle = ticks(server.pid()) - idle;
    let since = since.elapsed();
    let disk_bytes: u64 = tenants
        .iter()
        .filter_map(|tenant| first.get(&format!("/v1/tenants/{}", tenant.id)).body["disk_bytes"].as_u64())
        .sum();
    let per_tenant = disk_bytes / u64::from(count);
    eprintln!(
        "{count} tenants: created in {created:?}; threads {} -> {}, resident {} -> {} KiB; {idle} ticks of 10 ms in {since:?}; {per_tenant} bytes on disk each",
        before.0, after.0, before.1, after.1
    );
    assert!(per_tenant < 2 << 20, "{per_tenant} bytes");
    for tenant in &tenants {
        assert_eq!(server.client(&tenant.key).get("/v1/ledgers").status, 200, "tenant {}", tenant.id);
    }
    let all = usage(server.pid());
    eprintln!("all {count} open: threads {}, resident {} KiB", all.0, all.1);
    assert!(server.stop().success());

    let start = Instant::now();
    let server = Server::start(data.path());
    eprintln!("restart with {count} tenants: listens after {:?}", start.elapsed());
    let last = tenants.last().expect("there are tenants");
    assert_eq!(server.client(&last.key).get("/v1/ledgers").status, 200);
    assert!(server.stop().success());
}

fn open_tenants(metrics: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix("finaira_tenants_open "))?.parse().ok()
}
