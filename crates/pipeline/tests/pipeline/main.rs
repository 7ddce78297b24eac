//! The pipeline as its users see it: what is written when, and what is refused while nothing may be written.

mod gate;
mod writer;
