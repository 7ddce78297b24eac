//! Tests of the pipeline's public interface: what is written when, what is refused while nothing may be written, and which
//! time is used.

mod clock;
mod gate;
mod writer;
