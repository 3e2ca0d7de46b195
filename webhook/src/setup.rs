//! From the command line to running tasks: the only folder that knows all others.

mod certificates;
pub mod cli;
mod clusters;
pub mod freshness;
pub mod run;
