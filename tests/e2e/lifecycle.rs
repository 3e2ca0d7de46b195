//! A ManagedResource from its creation to its deletion: conditions, ownership, mistakes.
mod conditions;
mod examples;
mod invalid_settings;
mod ownership;
mod secret_values;
mod stages;
