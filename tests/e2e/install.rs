//! The chart, its values, the configuration of both programs, upgrades and migrations.
mod chart_config;
mod chart_values;
pub mod config_file;
pub mod definition_swaps;
mod finalizer_notice;
mod helm_release;
mod migration;
mod rbac;
mod recorded_release;
pub mod roles;
mod scratch_image;
mod startup_errors;
mod target_cluster;
mod two_clusters;
mod upgrade;
