//! Harm done to the controller and to what it depends on. Its process is started by the tests themselves, behind a proxy
//! that does the harm; the control plane is real and has no webhook of ours.
mod kill;
mod scenario;
