//! Tests of the pipeline's public interface: what is written when, and what is refused while nothing may be written.

mod gate;
mod writer;
