//! Redis.

use std::process::Command;

use serde_json::Value;

use crate::service::Service;
use crate::suite::{Tried, again, holds_what_the_journal_says, number, rows};

#[test]
fn redis_holds_what_the_journal_says() {
    let Some(service) = Service::up("redis", "FINAIRA_REQUIRE_REDIS") else { return };
    holds_what_the_journal_says(Redis { pid: number(&service.description, "pid"), service });
}

struct Redis {
    service: Service,
    pid: u32,
}

/// Copies all keys of one database to another, and removes what was there.
const COPY: &str = "redis.call('SELECT', ARGV[2]); redis.call('FLUSHDB'); redis.call('SELECT', ARGV[1]); \
     for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";

impl Redis {
    #[track_caller]
    fn run(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-u", self.service.text("/url"), "--no-auth-warning", "-e"])
            .args(command)
            .output();
        let output = output.expect("redis-cli runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Tried for Redis {
    fn settings(&self) -> String {
        format!("kind = \"redis\"\nurl = {:?}", self.service.text("/url"))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("redis"), "pid");
    }

    fn save(&self) {
        self.run(&["EVAL", COPY, "0", "0", "1"]);
    }

    fn restore_saved(&self) {
        self.run(&["EVAL", COPY, "0", "1", "0"]);
    }

    fn accounts(&self) -> Vec<Value> {
        let keys = self.run(&["KEYS", "*:account:*"]);
        let keys: Vec<&str> = keys.lines().collect();
        rows(&self.run(&[&["MGET"], keys.as_slice()].concat()))
    }

    fn payments(&self) -> Vec<Value> {
        Vec::new()
    }

    fn tamper(&self) -> u64 {
        let accounts = self.run(&["KEYS", "*:account:*"]);
        let mut accounts: Vec<&str> = accounts.lines().collect();
        accounts.sort_unstable();
        let value = self.run(&["GET", accounts[0]]);
        let changed = value.replacen("\"credits_posted\":\"", "\"credits_posted\":\"1", 1);
        assert_ne!(value, changed);
        self.run(&["SET", accounts[0], &changed]);
        self.run(&["DEL", accounts[1]]);
        // One differs, one is missing, and there is one less.
        3
    }
}
