//! Holdfast's decisions, without any I/O.
//!
//! Everything here is a pure function of its arguments: no client, no clock, no environment, no files. What is to be
//! written, refused or reported comes back as a value ([`plan::Plan`], [`protect::Verdict`], [`status`]); the binaries
//! carry it out. Both binaries use the same [`decode`]r and the same [`ownership`] rules, so that admission cannot let in
//! what the controller cannot read.

pub mod api;
pub mod autoscale;
pub mod body;
pub mod claimed;
pub mod collectable;
pub mod contact;
pub mod decode;
pub mod deletion;
pub mod digest;
pub mod directives;
pub mod discovery;
pub mod drift;
pub mod equivalence;
pub mod fallback;
pub mod fields;
pub mod fight;
pub mod finalize;
pub mod foreign;
pub mod guard;
pub mod ignored;
pub mod key;
pub mod manifest;
pub mod mistakes;
pub mod names;
pub mod object_name;
pub mod order;
pub mod ownership;
pub mod pause;
pub mod phase;
pub mod plan;
pub mod preserve;
pub mod protect;
pub mod release;
pub mod replacement;
pub mod settings;
pub mod status;
pub mod url_path;
