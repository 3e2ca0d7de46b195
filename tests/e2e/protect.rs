//! What the webhook, and the admission policy in its absence, refuse, revert, warn of and allow.
mod admission_policy;
mod audit_only;
mod content;
mod deletion;
mod edits;
mod exemptions;
mod large_edits;
mod match_conditions;
mod metadata;
mod modes;
mod mutating_webhooks;
mod revert;
mod scope;
mod subresources;
mod validation;
