//! What an apply makes of an object: whose fields it takes, which it leaves, and what it cannot apply.
mod adoption;
mod adoption_policy;
mod autoscalers;
mod create_only;
mod decode;
mod definitions;
mod ignore_paths;
mod labels_and_annotations;
mod list_order;
mod merge_patch;
mod no_op;
mod object_names;
mod preserve;
mod recreate;
mod server_fields;
mod service_account_tokens;
mod waves;
