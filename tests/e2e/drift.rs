//! Changes that others make to managed objects, and how they are repaired.
mod additions;
mod disguised_edits;
mod exact_scope;
mod missed_events;
mod repair;
mod retries;
mod terminating;
mod without_webhook;
