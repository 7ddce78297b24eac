//! The background threads beside the pipeline: the watch and the scrub.

use std::thread::JoinHandle;

use crate::core::Core;
use crate::scrub::Scrub;
use crate::threads::FailOnPanic;
use crate::watch::{self, Reserve, StopSign};

#[derive(Debug)]
pub(crate) struct Background {
    stop: StopSign,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(core: &Core, reserve: Reserve, scrub: Scrub) -> std::io::Result<Self> {
        let mut background = Self { stop: StopSign::default(), threads: Vec::new() };
        let (watched, stop) = (core.clone(), background.stop.clone());
        background.spawn(core, "watch", move || watch::run(&watched, &reserve, &stop))?;
        let (scrubbed, stop) = (core.clone(), background.stop.clone());
        background.spawn(core, "scrub", move || scrub.run(&scrubbed, &stop))?;
        Ok(background)
    }

    fn spawn(&mut self, core: &Core, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let core = core.clone();
        let guarded = move || {
            let _guard = FailOnPanic(&core.shared().inbox);
            work();
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Tells both threads to end, and waits for them.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.raise();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A server may be dropped without a clean stop. Nothing may write to its directory afterwards.
        self.stop.raise();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
