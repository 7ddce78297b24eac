//! A server that `cargo xtask services` starts for a test, and stops when the test is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

use serde_json::Value;

/// The servers that tests of this process use. A server has one place for its data, so only one test has it at a time.
static IN_USE: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
static NO_LONGER: Condvar = Condvar::new();

/// A running server. Dropping it stops it, also when the test fails.
pub(crate) struct Service {
    name: &'static str,
    /// What `up` said: addresses, clients and how to change the keys.
    pub(crate) description: Value,
}

impl Service {
    /// Starts the server once no other test uses it, or returns `None` and says so unless `variable` is 1.
    #[expect(clippy::disallowed_methods, reason = "it is not a setting of the product")]
    pub(crate) fn up(name: &'static str, variable: &str) -> Option<Self> {
        if std::env::var(variable).is_ok_and(|value| value == "1") {
            let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
            let free = NO_LONGER.wait_while(in_use, |in_use| in_use.contains(name));
            free.unwrap_or_else(PoisonError::into_inner).insert(name);
            // From here on, dropping it lets the next test have the server.
            let mut service = Self { name, description: Value::Null };
            let line = xtask(&["up", name]).unwrap();
            service.description = serde_json::from_str(&line).unwrap();
            return Some(service);
        }
        println!("SKIPPED: nothing was tested with {name}; {variable}=1 makes this test download and start it");
        None
    }

    /// A member of the description that is a text.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.description.pointer(pointer).and_then(Value::as_str).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A second panic would hide why the test failed.
        if let Err(error) = xtask(&["down", self.name]) {
            println!("{error}");
        }
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
        NO_LONGER.notify_all();
    }
}

/// Runs a task, and returns what it prints.
pub(crate) fn xtask(task: &[&str]) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["--locked", "xtask", "services"]).args(task).current_dir(root).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{command:?}: {error}"))
}
