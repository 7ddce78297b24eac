//! Windows: what they answer, as tables and against a naive model.

mod model;
mod views;
mod windows;
